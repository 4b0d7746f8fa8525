"""What a dry run tells, against the same operations done for real."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from training.adapters import causal_model, make_trainable
from training.config import TrainingType, resolve
from training.dry_run import Peaks, peaks
from training.forecast import Workload, heaviest, memory_estimate
from training.hardware import probe
from training.layers import Layers
from training.loss import TokenLoss
from training.optimizer import trainable_parameters
from training.rendering import IGNORED, Row

VOCABULARY = 512
COMMON = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
GPT2 = {"n_embd": 64, "n_layer": 6, "n_head": 4, "n_positions": 512}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen3": LLAMA | {"head_dim": 16},
    "gpt2": GPT2,
}


def model_of(kind: str, method: TrainingType = TrainingType.LORA) -> PreTrainedModel:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **COMMON, **SHAPES[kind]))
    model = causal_model(make_trainable(base, resolve(method, {})))
    model.train()
    return model


def row(tokens: int, trained: int) -> Row:
    ids = [5 + n % 100 for n in range(tokens)]
    return Row(
        line=1, input_ids=ids, labels=[IGNORED] * (tokens - trained) + ids[-trained:], content=b""
    )


ROWS = [row(64, 64), row(60, 20), row(56, 30)]


def loss_of(model: PreTrainedModel) -> TokenLoss:
    return TokenLoss(model, probe(), padding_id=0, probe=ROWS[0])


def measure(model: PreTrainedModel, loss: TokenLoss, *, passes: int = 1, dry: bool = True) -> Peaks:
    def work() -> object:
        return loss.backward(ROWS, step_tokens=114)

    return peaks(model, work, passes=passes, vocabulary_size=VOCABULARY, dry=dry)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # peft's, of GPT-2's Conv1D
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
@pytest.mark.parametrize("passes", [1, 2])
def test_a_dry_run_tells_what_the_real_one_holds(
    kind: str, method: TrainingType, passes: int
) -> None:
    model = model_of(kind, method)
    loss = loss_of(model)
    dry, real = (measure(model, loss, passes=passes, dry=dry) for dry in (True, False))
    assert dry.filled.total == pytest.approx(real.filled.total, rel=0.01)
    assert dry.filled.logits == real.filled.logits
    assert dry.drained.gradients == real.drained.gradients
    trained = sum(each.numel() for each in trainable_parameters(model).values())
    assert 0.9 * 4 * trained <= dry.drained.gradients <= 4 * trained


@pytest.mark.parametrize("dry", [True, False])
def test_nothing_is_changed_by_looking(dry: bool) -> None:
    model = model_of("llama")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    parameter = next(iter(trainable_parameters(model).values()))
    parameter.grad = torch.ones_like(parameter)
    loss, state = loss_of(model), torch.get_rng_state()
    measure(model, loss, dry=dry)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    others = [each for each in model.parameters() if each is not parameter]
    assert [each for each in others if each.grad is not None] == []


@pytest.mark.parametrize("trained_layers", [0, 2, 6])
def test_a_few_layers_tell_of_all(trained_layers: int) -> None:
    model = model_of("llama", TrainingType.FULL)
    for layer in model.model.layers[: 6 - trained_layers]:
        layer.requires_grad_(False)
    loss, layers = loss_of(model), Layers(model)
    whole = measure(model, loss)
    told = [0.0, 0.0]
    for sample in layers.samples():
        with layers.only(sample.indices):
            found = measure(model, loss)
        told = [sum_ + sample.weight * each.total for sum_, each in zip(told, found, strict=True)]
    assert len(layers.samples()) == (3 if trained_layers == 2 else 2)
    assert len(model.model.layers) == 6
    assert max(told) == pytest.approx(max(each.total for each in whole), rel=0.02)


def estimate(model: PreTrainedModel, backward: Callable[[Any], object]) -> Any:
    loss = loss_of(model)
    trained = trainable_parameters(model)
    work = Workload(
        model=model,
        vocabulary_size=VOCABULARY,
        weights=list(model.parameters()),
        optimizer=[],
        optimizer_bytes=8 * sum(each.numel() for each in trained.values()),
        micro_batches=[ROWS],
        backward=backward,
        accumulates=False,
        validation=[ROWS],
        score=loss.score,
    )
    return memory_estimate(work, probe())


class Undescribed(torch.autograd.Function):
    """Looks at numbers, which fake tensors do not have."""

    @staticmethod
    def forward(_ctx: Any, inputs: Tensor) -> Tensor:
        torch.from_numpy(inputs.detach().numpy())
        return inputs.clone()

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def test_a_model_that_cannot_run_dry_is_measured_on_short_rows() -> None:
    model = model_of("llama", TrainingType.FULL)
    loss = loss_of(model)
    dry = estimate(model, lambda rows: loss.backward(rows, step_tokens=1))
    norm = model.model.norm
    norm.register_forward_hook(lambda _module, _given, output: Undescribed.apply(output.float()))
    measured = estimate(model, lambda rows: loss.backward(rows, step_tokens=1))
    assert (dry.method, measured.method) == ("DRY_RUN", "MEASURED")
    for name in ("weights", "optimizer"):
        assert getattr(measured, name) == getattr(dry, name)
    held, told = (each.activations + each.logits for each in (dry, measured))
    assert told == pytest.approx(held, rel=0.2)
    assert [each for each in model.parameters() if each.grad is not None] == []


def test_the_heaviest_rows_are_those_with_most_tokens_labels_or_length() -> None:
    many, long, trained = [row(60, 1)] * 5, [row(200, 1)], [row(100, 100)]
    assert heaviest([[row(9, 1)], many, long, trained]) == [many, trained, long]
    assert heaviest([many]) == [many]
    assert heaviest([]) == []
