"""What a dry run tells, against the same operations done for real."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from training.adapters import causal_model, make_trainable
from training.config import TrainingType, resolve
from training.dry_run import _RealOperations, _run, _unchanged, dry_run, real_run
from training.forecast import Workload, heaviest, memory_estimate
from training.hardware import probe
from training.layers import two_of_each
from training.ledger import Holding, Ledger
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


def model_of(
    kind: str, method: TrainingType = TrainingType.LORA, **changes: Any
) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **COMMON | SHAPES[kind] | changes)
    base = AutoModelForCausalLM.from_config(config)
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


def measure(model: PreTrainedModel, loss: TokenLoss, passes: int) -> tuple[Holding, Holding]:
    """A dry run, and a real one of all layers."""

    def work() -> object:
        return loss.backward(ROWS, step_tokens=114)

    told = dry_run(model, work, passes=passes, vocabulary_size=VOCABULARY)
    ledger = Ledger(VOCABULARY)
    with _unchanged(model), _RealOperations(model, ledger):
        _run(work, passes, ledger)
        return told, ledger.highest([])


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # peft's, of GPT-2's Conv1D
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
@pytest.mark.parametrize("passes", [1, 2])
def test_a_dry_run_of_two_layers_tells_what_a_real_run_of_all_holds(
    kind: str, method: TrainingType, passes: int
) -> None:
    model = model_of(kind, method)
    loss = loss_of(model)
    dry, real = measure(model, loss, passes)
    assert dry.total == pytest.approx(real.total, rel=0.02)
    trained = 4 * sum(each.numel() for each in trainable_parameters(model).values())
    if passes == 2:
        assert dry.gradients == real.gradients == pytest.approx(trained, rel=0.01)


@pytest.mark.parametrize("trained_layers", [1, 3, 5])
@pytest.mark.parametrize("passes", [1, 2])
def test_layers_that_are_trained_and_frozen_ones_are_told_apart(
    trained_layers: int, passes: int
) -> None:
    model = model_of("llama", TrainingType.FULL)
    model.requires_grad_(False)
    for layer in model.model.layers[6 - trained_layers :]:
        layer.requires_grad_(True)
    loss = loss_of(model)
    with two_of_each(model) as stands:
        missing = [4 - trained_layers, trained_layers - 2]
        assert [each.missing for each in stands] == [each for each in missing if each > 0]
        assert len(model.model.layers) == 6 - sum(each.missing for each in stands)
    assert len(model.model.layers) == 6
    dry, real = measure(model, loss, passes)
    assert dry.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("passes", [1, 2])
def test_the_two_gradients_of_a_tied_weight_are_added_in_place(passes: int) -> None:
    model = model_of("llama", TrainingType.FULL, vocab_size=8192, tie_word_embeddings=True)
    dry, real = measure(model, loss_of(model), passes)
    assert dry.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("look", [dry_run, real_run])
def test_nothing_is_changed_by_looking(look: Callable[..., Holding]) -> None:
    model = model_of("llama")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    parameter = next(iter(trainable_parameters(model).values()))
    parameter.grad = torch.ones_like(parameter)
    loss, state = loss_of(model), torch.get_rng_state()
    look(
        model,
        lambda: loss.backward(ROWS, step_tokens=114),
        passes=2,
        vocabulary_size=VOCABULARY,
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    others = [each for each in model.parameters() if each is not parameter]
    assert [each for each in others if each.grad is not None] == []


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
