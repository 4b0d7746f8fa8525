"""What a dry run tells, against the same operations done for real."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from training.config import TrainingType, resolve
from training.data.rendering import IGNORED, Row
from training.devices.hardware import probe
from training.devices.layout import layout
from training.devices.world import directly
from training.engine.bounds import LONG_ROW, logits_chunks
from training.engine.choice import Computes, choose
from training.engine.decoder import Decoder
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.packs import make_pack
from training.engine.sharded import ShardedDecoder
from training.memory.dry_run import (
    _as_written,
    _run,
    _unchanged,
    dry_run,
    dry_run_as_written,
    real_run,
)
from training.memory.forecast import Rows, Workload, _dry, heaviest, memory_estimate
from training.memory.ledger import Holding, Ledger
from training.memory.operations import (
    DeviceMatters,
    FakeOperations,
    MetaOperations,
    RealOperations,
)
from training.methods.adapters import causal_model, make_trainable
from training.models.layers import two_of_each
from training.models.likeness import likeness

VOCABULARY = 512
CPU = torch.device("cpu")
COMMON = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
GPT2 = {"n_embd": 64, "n_layer": 6, "n_head": 4, "n_positions": 512, "attn_pdrop": 0.0}
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


def workload_of(model: PreTrainedModel, computes: Computes | None = None) -> Workload:
    computes = computes or choose(model, ROWS, CPU).computes
    trained = [each for each in model.parameters() if each.requires_grad]

    def begin(layers: int | None) -> Callable[[Any], object]:
        short = computes.shortened(layers) if layers is not None else computes
        gradients = Gradients()
        return lambda rows: short.backward(make_pack(rows), share=1.0, seed=0, gradients=gradients)

    return Workload(
        model=model,
        layers=computes.layers_kept if isinstance(computes, Decoder) else None,
        vocabulary_size=VOCABULARY,
        weights=list(model.parameters()),
        optimizer=[],
        optimizer_bytes=8 * sum(each.numel() for each in trained),
        rounds=[[ROWS]],
        gradients=4 * sum(each.numel() for each in trained),
        begin=begin,
        sizes=sizes,
    )


def sizes(rows: Rows) -> tuple[int, int]:
    return sum(row.tokens for row in rows), sum(row.trained_tokens for row in rows)


def told_and_real(model: PreTrainedModel) -> tuple[Holding, Holding]:
    """A dry run of few layers, and what a real one of all holds."""
    work = workload_of(model)
    ledger = Ledger(model.config.vocab_size)
    go = work.begin(None)  # kept, and with it the gradients
    with _unchanged(model), RealOperations(model, ledger):
        _run(partial(go, ROWS), 2, ledger)
    return _dry(work, ROWS), ledger.highest([])


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # peft's, of GPT-2's Conv1D
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_a_dry_run_of_two_layers_tells_what_a_real_run_of_all_holds(
    kind: str, method: TrainingType
) -> None:
    dry, real = told_and_real(model_of(kind, method))
    assert dry.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("trained_layers", [1, 3, 5])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_layers_that_are_trained_and_frozen_ones_are_told_apart(
    kind: str, trained_layers: int
) -> None:
    model = model_of(kind, TrainingType.FULL)
    model.requires_grad_(False)
    layers = model.base_model.h if kind == "gpt2" else model.base_model.layers
    for layer in layers[6 - trained_layers :]:
        layer.requires_grad_(True)
    dry, real = told_and_real(model)
    assert dry.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_device_a_pass_holds_to_the_byte_what_it_does_on_one(
    method: TrainingType, dtype: torch.dtype
) -> None:
    size = 120_000
    model = model_of("qwen3", method, tie_word_embeddings=True, vocab_size=size).to(dtype)
    rows = 2 * ROWS
    one, other = (
        _as_written(each, *written(model, rows)) for each in (FakeOperations, MetaOperations)
    )
    assert one == other
    assert logits_chunks(sum(row.trained_tokens for row in rows), size, on_cpu=True) > 1


def test_a_pass_in_which_the_device_matters_is_run_on_one() -> None:
    model = model_of("llama", max_position_embeddings=2048)
    rows = [row(LONG_ROW + 1, 20)]
    with pytest.raises(DeviceMatters):
        _as_written(MetaOperations, *written(model, rows))
    found = dry_run_as_written(*written(model, rows)[:2], vocabulary_size=VOCABULARY)
    assert found == _as_written(FakeOperations, *written(model, rows))


def written(
    model: PreTrainedModel, rows: list[Row]
) -> tuple[PreTrainedModel, Callable[[], object], int]:
    """What passes go through, one pass through its last two layers, and its vocabulary's size."""
    go = workload_of(model).begin(2)
    return model, partial(go, rows), model.config.vocab_size


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_a_likeness_tells_what_its_model_would_hold(method: TrainingType) -> None:
    model = model_of("llama", method)
    alike = likeness(model, dtype=torch.float32, device=CPU)
    ledger = Ledger(VOCABULARY)
    go = rehearsal_of(model).begin(None)
    with _unchanged(model), RealOperations(model, ledger):
        _run(partial(go, ROWS), 2, ledger)
    dry, real = _dry(rehearsal_of(alike), ROWS), ledger.highest([])
    assert dry.total == pytest.approx(real.total, rel=0.02)


def rehearsal_of(model: PreTrainedModel) -> Workload:
    """What a model that is split does in one process, by the pass that is made of its likeness."""
    decoder = GenericDecoder(model, None, packs=True)
    sharded = ShardedDecoder(
        decoder, (), directly, whole_logits=False, likeness=decoder, layout=layout(model, model)
    )
    gradients = Gradients()
    return replace(
        workload_of(model, decoder),
        begin=lambda _layers: lambda rows: sharded.rehearse(make_pack(rows), gradients),
    )


def test_a_likeness_in_another_dtype_has_no_memory_and_keeps_ties() -> None:
    model = model_of("llama", TrainingType.FULL, tie_word_embeddings=True)
    alike = likeness(model, dtype=torch.bfloat16, device=CPU)
    assert {each.dtype for each in alike.parameters()} == {torch.bfloat16}
    assert all(isinstance(each, FakeTensor) for each in alike.parameters())
    assert alike.get_output_embeddings().weight is alike.get_input_embeddings().weight
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    work = rehearsal_of(alike)
    assert _dry(work, ROWS).total < _dry(rehearsal_of(model), ROWS).total


def test_two_layers_of_each_kind_stand_for_the_rest() -> None:
    model = model_of("llama", TrainingType.FULL)
    model.requires_grad_(False)
    model.model.layers[5].requires_grad_(True)
    with two_of_each(model) as stands:
        assert [each.missing for each in stands] == [3]
        assert len(model.model.layers) == 3
    assert len(model.model.layers) == 6


def test_the_two_gradients_of_a_tied_weight_are_held_once() -> None:
    model = model_of("llama", TrainingType.FULL, vocab_size=8192, tie_word_embeddings=True)
    dry, real = told_and_real(model)
    assert dry.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("look", [dry_run, real_run])
def test_nothing_is_changed_by_looking(look: Callable[..., Holding]) -> None:
    model = model_of("gpt2", TrainingType.FULL)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    parameter = next(each for each in model.parameters() if each.requires_grad)
    parameter.grad = torch.ones_like(parameter)
    go = workload_of(model).begin(None)
    state = torch.get_rng_state()
    look(model, partial(go, ROWS), passes=2, vocabulary_size=VOCABULARY)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    others = [each for each in model.parameters() if each is not parameter]
    assert [each for each in others if each.grad is not None] == []


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
    model = model_of("gpt2", TrainingType.FULL)
    computes = choose(model, ROWS, CPU).computes
    dry = memory_estimate(workload_of(model, computes), probe())
    norm = model.transformer.ln_f
    norm.register_forward_hook(lambda _module, _given, output: Undescribed.apply(output.float()))
    measured = memory_estimate(workload_of(model, computes), probe())
    assert (dry.method, measured.method) == ("DRY_RUN", "MEASURED")
    for name in ("weights", "optimizer", "gradients"):
        assert getattr(measured, name) == getattr(dry, name)
    held, told = (each.activations + each.logits for each in (dry, measured))
    assert told == pytest.approx(held, rel=0.2)
    assert [each for each in model.parameters() if each.grad is not None] == []


def test_the_heaviest_rounds_are_those_with_most_tokens_labels_or_length() -> None:
    many, long, trained = [[row(60, 1)] * 5], [[row(200, 1)]], [[row(100, 100)]]
    assert heaviest([[[row(9, 1)]], many, long, trained], sizes) == [many, trained, long]
    assert heaviest([many], sizes) == [many]
    as_long = [[row(90, 10)]], [[row(99, 5)]], [[row(80, 40)]]  # once they are padded
    assert heaviest(as_long, lambda rows: (128, sizes(rows)[1])) == [as_long[2], as_long[1]]
    assert heaviest([], sizes) == []
