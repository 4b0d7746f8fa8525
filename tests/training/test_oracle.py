"""No drift: over 32 steps our losses are those of `transformers.Trainer` on the same rows.

The oracle has its own optimizer, decay groups, clipping, accumulation and averages; it is given our
order of rows and our schedule, whose warm-up begins otherwise than its own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from tests.training.engine.models import make_model
from training.config import TrainingConfig, TrainingType, resolve
from training.data.rendering import IGNORED, Row
from training.engine.choice import choose
from training.engine.engine import Engine
from training.engine.lanes import Lanes
from training.engine.trainable import TrainableWeights
from training.methods.adapters import causal_model, make_trainable
from training.scores import Scores
from training.steps.batches import Plan
from training.steps.schedule import learning_rate
from training.steps.stepper import Stepper, Watch

pytestmark = pytest.mark.slow

CPU: Final = torch.device("cpu")
STEPS: Final = 32
RATES: Final = {TrainingType.FULL: 5e-3, TrainingType.LORA: 1e-2}


def rows() -> list[Row]:
    """Rows that a model can learn: each goes on with every third token from some beginning."""
    made = []
    for line in range(1, 65):
        ids = [3 + (7 * line + 3 * place) % 290 for place in range(9 + (line * 5) % 32)]
        start = 2 + line % 4
        labels = [IGNORED] * start + ids[start:]
        made.append(Row(line, ids, labels, str(line).encode()))
    return made


def config_of(method: TrainingType) -> TrainingConfig:
    """64 rows, eight a step in two micro-batches of the oracle, four epochs: 32 steps."""
    return resolve(
        method,
        {
            "learning_rate": RATES[method],
            "batch_size": 4,
            "gradient_accumulation_steps": 2,
            "epochs": 4,
            "warmup_steps": 5,
            "lora_dropout": 0.0,
            "lora_rank": 8,
        },
    )


def trainable(name: str, config: TrainingConfig) -> PreTrainedModel | PeftModel:
    torch.manual_seed(1)
    return make_trainable(make_model(name), config)


def ours(
    name: str, config: TrainingConfig, dtype: torch.dtype = torch.float32
) -> tuple[list[float], dict[str, Tensor]]:
    """The mean loss of each step before it is taken, and the masters after the last."""
    model = trainable(name, config)
    weights = TrainableWeights(model, dtype)
    choice = choose(causal_model(model), rows(), CPU)
    engine = Engine(choice, weights, Lanes(1), budget=128, device=CPU)
    stepper = Stepper(engine, rows(), config=config, total_steps=STEPS)
    losses: list[float] = []
    before = Scores()

    def measured(_measurement: object) -> None:
        nonlocal before
        state = stepper.state
        if state.step == len(losses):
            return  # amid a step
        if state.step_in_epoch == 1:
            before = Scores()
        step = Scores(*(new - old for new, old in zip(state.scores, before, strict=True)))
        losses.append(step.loss)
        before = state.scores

    watch = Watch(measured, lambda: False, lambda _budget, _error: None)
    while not stepper.is_over():
        assert stepper.run_epoch(watch)
        state = stepper.state
        stepper.state = state.model_copy(
            update={"epoch": state.epoch + 1, "step_in_epoch": 0, "scores": Scores()}
        )
    return losses, {key: each.detach() for key, each in weights.masters.items()}


class Oracle(Trainer):
    """The library's trainer over rows that lie in our order, at our learning rates."""

    def __init__(self, config: TrainingConfig, **options: object) -> None:
        super().__init__(**options)
        self._config = config

    def _get_train_sampler(self, *_arguments: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def create_scheduler(
        self, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LambdaLR:
        assert num_training_steps == STEPS
        config = self._config
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer,
            lambda step: learning_rate(step, config=config, steps=STEPS) / config.learning_rate,
        )
        return self.lr_scheduler


class Losses(TrainerCallback):
    """The loss that the oracle logs of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(
        self, _arguments: object, _state: object, _control: object, **said: dict[str, float]
    ) -> None:
        if "loss" in said["logs"]:
            self.losses.append(said["logs"]["loss"])


def in_order(config: TrainingConfig) -> Iterator[Row]:
    """The rows of every epoch, one after the other, as our plan orders them."""
    all_rows = rows()
    plan = Plan(len(all_rows), 8, shuffle=config.shuffle, seed=config.seed)
    for epoch in range(config.epochs):
        for step in plan.steps(epoch):
            yield from (all_rows[index] for index in step)


def collated(examples: Sequence[Row]) -> dict[str, Tensor]:
    longest = max(len(row.input_ids) for row in examples)
    gaps = [longest - len(row.input_ids) for row in examples]
    return {
        "input_ids": torch.tensor(
            [row.input_ids + [0] * gap for row, gap in zip(examples, gaps, strict=True)]
        ),
        "labels": torch.tensor(
            [row.labels + [IGNORED] * gap for row, gap in zip(examples, gaps, strict=True)]
        ),
        "attention_mask": torch.tensor(
            [[1] * len(row.input_ids) + [0] * gap for row, gap in zip(examples, gaps, strict=True)]
        ),
    }


def theirs(
    name: str, config: TrainingConfig, folder: Path
) -> tuple[list[float], dict[str, Tensor]]:
    model = trainable(name, config)
    told = Losses()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        num_train_epochs=1,  # of all four epochs' rows, one after the other
        optim="adamw_torch",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient_norm,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    oracle = Oracle(
        config,
        model=model,
        args=arguments,
        train_dataset=list(in_order(config)),
        data_collator=collated,
        callbacks=[told],
    )
    oracle.remove_callback(PrinterCallback)
    oracle.train()
    trained = {key: each.detach() for key, each in model.named_parameters() if each.requires_grad}
    return told.losses, trained


def furthest(first: Sequence[float], second: Sequence[float]) -> float:
    return max(abs(one - other) for one, other in zip(first, second, strict=True))


def apart(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """The distance of two sets of weights, relative to their length."""
    assert first.keys() == second.keys()
    squares = sum(float((first[key] - second[key]).square().sum()) for key in first)
    return float((squares / sum(float(each.square().sum()) for each in second.values())) ** 0.5)


@pytest.mark.parametrize(
    ("name", "method", "bound"),
    [
        ("llama", TrainingType.FULL, 1e-5),
        ("llama", TrainingType.LORA, 1e-5),
        # The true gradient of GPT-2's key biases is zero: what AdamW scales up is rounding alone.
        ("gpt2", TrainingType.FULL, 3e-4),
    ],
)
def test_there_is_no_drift_from_the_oracle(
    name: str, method: TrainingType, bound: float, tmp_path: Path
) -> None:
    config = config_of(method)
    our_losses, our_weights = ours(name, config)
    their_losses, their_weights = theirs(name, config, tmp_path)
    assert len(our_losses) == len(their_losses) == STEPS
    assert our_losses[-1] < our_losses[0] - 1.0
    assert furthest(our_losses, their_losses) <= 4e-6
    assert apart(our_weights, their_weights) <= bound


@pytest.mark.parametrize("method", [TrainingType.FULL, TrainingType.LORA])
def test_in_bf16_masters_keep_us_near_fp32(method: TrainingType) -> None:
    config = config_of(method)
    exact, _ = ours("llama", config)
    halved, _ = ours("llama", config, torch.bfloat16)
    assert 0 < furthest(exact, halved) <= 6e-3
