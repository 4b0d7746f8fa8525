"""Models without memory, and what a dry run tells of training them."""

from collections.abc import Callable
from statistics import fmean, pstdev
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from training.config import TrainingConfig
from training.data.rendering import IGNORED, Row
from training.devices.compiler import has_compiler
from training.devices.hardware import Hardware
from training.devices.machine import Machine
from training.engine.bounds import CPU_TOKENS
from training.engine.choice import Choice
from training.engine.decoder import Decoder
from training.engine.engine import Engine
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.lanes import make_lanes
from training.engine.native.library import library
from training.engine.reading import OtherShape, head_of, read
from training.engine.trainable import TrainableWeights
from training.estimates import MemoryEstimate, optimizer_bytes
from training.events import ComputePath
from training.memory.forecast import Workload, memory_estimate
from training.methods.adapters import causal_model, make_trainable
from training.models.facts import ModelFacts
from training.models.modules import decoder_layers, linear_parameters
from training.models.shape import shape_of
from training.steps.batches import Plan
from training.steps.expected import ExpectedRows, rows_per_step
from training.steps.schedule import total_steps

CPU = torch.device("cpu")
LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen3": LLAMA | {"head_dim": 64},
    "gemma2": LLAMA | {"head_dim": 64, "query_pre_attn_scalar": 64},
    "gpt2": {"n_embd": 512, "n_layer": 8, "n_head": 8, "n_positions": 2048},
}
LITTLE = 500_000_000
"""So little memory that no matrix is copied to compute faster."""


def empty_model(kind: str, **changes: Any) -> PreTrainedModel:
    """A model of some 40 million parameters whose memory is never written to, and so never taken."""
    special = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
    options = {"vocab_size": 32_000} | special | KINDS[kind] | changes
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options))
    model = model.to_empty(device="cpu")
    model.tie_weights()
    return model


def facts_of(model: PreTrainedModel) -> ModelFacts:
    return ModelFacts(
        architecture=type(model).__name__,
        parameter_count=sum(each.numel() for each in model.parameters()),
        layer_count=len(decoder_layers(model)),
        linear_parameters=linear_parameters(model),
        shape=shape_of(model),
        context_length=2048,
        licence=None,
        has_chat_template=True,
        dtype="float32",
        size_bytes=1,
        sha256="0" * 64,
    )


def processor(*, bfloat16: bool) -> Machine:
    """This machine with two threads and little memory."""
    return Machine(
        device="cpu",
        bfloat16=bfloat16,
        threads=2,
        available_bytes=LITTLE,
        compiles=has_compiler() and (library().multiplies_pairs or not bfloat16),
    )


def rows_of(lengths: list[int], share: float) -> list[Row]:
    def row(line: int, length: int) -> Row:
        ids = [5 + n % 100 for n in range(length)]
        trained = max(1, round(share * length))
        return Row(line, ids, [IGNORED] * (length - trained) + ids[-trained:], b"")

    return [row(line, length) for line, length in enumerate(lengths, 1)]


def expected(lengths: list[int], share: float, config: TrainingConfig) -> ExpectedRows:
    return ExpectedRows(
        count=len(lengths),
        steps=total_steps(len(lengths), config),
        mean=fmean(lengths),
        deviation=pstdev(lengths),
        longest=max(lengths),
        trained_share=share,
    )


def choice_of(model: PreTrainedModel) -> Choice:
    """The way a run would take, without a comparison of results, which are those of no weights."""
    try:
        return Choice(read(model), ComputePath.FUSED, (), False)
    except OtherShape:
        generic = GenericDecoder(model, head_of(model), packs=True)
        return Choice(generic, ComputePath.PACKED, (), False)


def by_dry_run(
    base: PreTrainedModel, config: TrainingConfig, rows: list[Row], machine: Machine
) -> MemoryEstimate:
    """The estimate that a run makes before its first step."""
    dtype = torch.bfloat16 if machine.bfloat16 else torch.float32
    if not config.quantised:
        base.to(dtype if config.adapts else torch.float32)
    trainable = make_trainable(base, config)
    weights = TrainableWeights(trainable, dtype)
    model = causal_model(trainable)
    choice = choice_of(model)
    tokens = fmean(len(row.input_ids) for row in rows) * rows_per_step(config)
    lanes = make_lanes(tokens, threads=machine.threads)
    engine = Engine(choice, weights, lanes, budget=CPU_TOKENS, device=CPU)
    plan = Plan(len(rows), rows_per_step(config), shuffle=True, seed=1)
    steps = [[rows[index] for index in step] for step in plan.steps(0)]
    sizes = [each.numel() for each in weights.masters.values()]

    def begin(count: int | None) -> Callable[[Any], object]:
        computes = choice.computes
        if isinstance(computes, Decoder) and count is not None:
            computes = computes.shortened(count)
        gradients = Gradients()
        return lambda given: computes.backward(
            engine.packed(given), share=1.0, seed=0, gradients=gradients
        )

    work = Workload(
        model=model,
        layers=choice.computes.layers_kept if isinstance(choice.computes, Decoder) else None,
        vocabulary_size=model.config.vocab_size,
        weights=[*model.parameters(), *model.buffers(), *weights.masters.values()],
        optimizer=[],
        optimizer_bytes=optimizer_bytes(config.optimizer, sizes),
        rounds=[each for step in steps for each in engine.divided(step)],
        gradients=engine.lanes * 4 * sum(sizes),
        begin=begin,
        sizes=engine.sizes,
    )
    engine.close()
    name = "cpu"
    hardware = Hardware(device=name, name=name, cores=2, bfloat16=machine.bfloat16)
    return memory_estimate(work, hardware)


def own(memory: MemoryEstimate) -> int:
    """All but what the process holds anyway, which of the tests' process is much."""
    return memory.weights + memory.gradients + memory.optimizer + memory.activations + memory.logits
