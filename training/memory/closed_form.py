"""A run's memory before anything is loaded: from the model's shape, the config, and the data's sizes.

Loads no torch, so that a service can say it of a run that was only asked about. The run itself is
then told by a dry run (`training.memory.forecast`), which knows the rows and calls what trains.
"""

import math
from dataclasses import dataclass
from typing import Final

from training.config import Sharding, TrainingConfig, TrainingType
from training.devices.machine import Machine
from training.engine.bounds import (
    CPU_TOKENS,
    EVEN_HEAD,
    GPU_TOKENS,
    LONG_ROW,
    SHAPES,
    SPARE,
    lane_count,
)
from training.estimates import (
    CPU_GROWTH_BYTES,
    CPU_SLACK,
    EstimateMethod,
    MemoryEstimate,
    optimizer_bytes,
)
from training.memory.passing import Pass, through_own_layers, through_written_layers
from training.methods.targets import adapted_layers
from training.models.facts import ModelFacts, ModelShape
from training.steps.expected import ExpectedRows, rows_per_step

LIBRARIES_BYTES: Final = 440_000_000
"""What a training process holds once its libraries are loaded, on Linux with torch's CPU build: 265 MB of
its own, and of their files 110 to 300 MB, as the machine has it."""
BITSANDBYTES_BYTES: Final = 60_000_000
"""What bitsandbytes adds to that."""
NF4_BYTES: Final = 0.5
"""Of a weight in 4 bits. Its scales, a thirtieth of that, are counted with the base."""
_SCALES_BYTES: Final = 0.016
_ROW_BYTES: Final = 270
"""Of a row that a run chooses from: its places, its lengths, and the digest of its record."""
_TOKEN_BYTES: Final = 5
"""Of a token in the file of rows, which is mapped and stays resident where there is room."""
_MASTER_BYTES: Final = 4
_STORED_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class _Case:
    """All that the figures follow from."""

    facts: ModelFacts
    shape: ModelShape
    layers: int
    config: TrainingConfig
    rows: ExpectedRows
    machine: Machine

    @property
    def element(self) -> int:
        return self.machine.element_bytes

    @property
    def on_cpu(self) -> bool:
        return self.machine.device == "cpu"

    @property
    def is_written_out(self) -> bool:
        """Whether the engine has the model's layers written out."""
        shape = self.shape
        known = shape.model_type in SHAPES and shape.activation == "silu"
        return (
            known and not shape.attention_dropout and not (self.config.adapts and self.config.dora)
        )

    @property
    def attends_in_place(self) -> bool:
        """Whether there are the kernels of `training.engine.native.attention`."""
        narrow = self.element < _MASTER_BYTES and self.shape.head_size % EVEN_HEAD == 0
        return self.on_cpu and self.is_written_out and self.machine.compiles and narrow

    @property
    def step_rows(self) -> float:
        """Rows of a step that one process computes."""
        return min(rows_per_step(self.config), self.rows.count) / self.config.devices

    @property
    def lanes(self) -> int:
        if not self.on_cpu or not self.is_written_out:
            return 1
        return lane_count(self.rows.mean * self.step_rows, threads=self.machine.threads)


def closed_form(
    facts: ModelFacts, config: TrainingConfig, *, rows: ExpectedRows, machine: Machine
) -> MemoryEstimate | None:
    """What one of the run's processes will hold.

    None where it cannot be told: the model's shape is not known, adapters go to layers that it does
    not have, or the model is split among devices.
    """
    shape, layers = facts.shape, facts.layer_count
    split = config.sharding is Sharding.FULL and config.devices > 1
    if shape is None or layers is None or split:
        return None
    case = _Case(facts, shape, layers, config, rows, machine)
    trained = _trained_tensors(case)
    if not trained:
        return None
    return _estimate(case, trained)


def _estimate(case: _Case, trained: list[int]) -> MemoryEstimate:
    slack = CPU_SLACK if case.on_cpu else 1.0
    work = _heaviest_pass(case)
    through = through_written_layers if case.is_written_out else through_own_layers
    passing = through(case.shape, work)
    parts = {
        "weights": _weights(case, sum(trained)),
        "gradients": case.lanes * _MASTER_BYTES * sum(trained),
        "optimizer": optimizer_bytes(case.config.optimizer, trained),
        "activations": round(slack * case.lanes * passing.activations),
        "logits": round(slack * case.lanes * passing.logits),
        "base": _base(case),
    }
    sharing = case.config.devices if case.on_cpu else 1
    return MemoryEstimate(
        **parts,
        peak=max(sum(parts.values()), _while_loading(case)),
        available=case.machine.available_bytes // sharing,
        method=EstimateMethod.CLOSED_FORM,
    )


def _heaviest_pass(case: _Case) -> Pass:
    """The micro-batch with most tokens, taken to have the longest row."""
    rows, config = case.rows, case.config
    budget = (CPU_TOKENS if case.on_cpu else GPU_TOKENS) // case.lanes
    tokens = _micro_batch(case, budget)
    square = rows.longest**2 + (tokens - rows.longest) * (
        rows.mean + rows.deviation**2 / max(1.0, rows.mean)
    )
    freezes = config.training_type is TrainingType.FREEZE
    trains_embeddings = freezes and config.train_embeddings
    by_kernel = not case.on_cpu or case.attends_in_place or rows.longest > LONG_ROW
    return Pass(
        tokens=tokens,
        longest=rows.longest,
        square=square,
        trained_tokens=tokens * (1.0 if rows.trained_share is None else rows.trained_share),
        element=case.element,
        on_cpu=case.on_cpu,
        by_kernel=by_kernel,
        copies_heads=by_kernel and not case.attends_in_place,
        layers_kept=config.trainable_layers if freezes and not trains_embeddings else case.layers,
        rank=config.lora_rank if config.adapts else 0,
        drops=config.adapts and config.lora_dropout > 0,
        decomposes=config.adapts and config.dora,
        trains_head=trains_embeddings or config.training_type is TrainingType.FULL,
        compiled=case.machine.compiles and case.is_written_out,
        unpacks=config.quantised,
    )


def _micro_batch(case: _Case, budget: int) -> float:
    """Tokens of the fullest micro-batch of any step. A step that the budget just holds makes fuller
    ones than a heavier step, whose rows are divided among more."""
    lightest, heaviest = case.rows.step_tokens(case.step_rows)
    whole = budget * case.lanes
    filled = heaviest // whole * whole
    most = float(budget) if filled and filled >= lightest else 0.0
    return max(most, _divided(case, heaviest, budget), case.rows.longest)


def _divided(case: _Case, step: float, budget: int) -> float:
    """Tokens of a micro-batch of a step, as `training.engine.packs.divide` makes them: of like size,
    a multiple of the lanes, no row in two."""
    rows = case.step_rows
    count = -(-step // budget)
    while True:
        count = min(rows, -(-count // case.lanes) * case.lanes)
        tokens = math.ceil(rows / count) * step / rows
        if tokens <= budget or count >= rows:
            return tokens
        count += 1


def _trained_tensors(case: _Case) -> list[int]:
    """The elements of each tensor that is trained, small ones taken together with large ones."""
    shape, config = case.shape, case.config
    match config.training_type:
        case TrainingType.FULL:
            return [case.facts.parameter_count]
        case TrainingType.FREEZE:
            layers = [config.trainable_layers * shape.layer_parameters]
            head = [shape.embedding_parameters, shape.head_parameters]
            return [each for each in (layers + head if config.train_embeddings else layers) if each]
    return _adapters(case)


def _adapters(case: _Case) -> list[int]:
    config, sizes = case.config, []
    for linear in case.shape.linears:
        width = [config.lora_rank * linear.inputs, config.lora_rank * linear.outputs]
        width += [linear.outputs] if config.dora else []
        sizes += width * adapted_layers(linear.name, config.target_modules, case.layers)
    return sizes


def _weights(case: _Case, trained: int) -> int:
    """As the model computes with them, their masters, and copies that kernels read faster."""
    count, linear = case.facts.parameter_count, case.facts.linear_parameters or 0
    held = count * case.element
    if case.config.quantised:
        held = (count - linear) * case.element + round(linear * NF4_BYTES)
    if case.config.adapts:
        held += trained * case.element
    masters = trained * _MASTER_BYTES if case.element < _MASTER_BYTES else 0
    return held + masters + _reordered(case)


def _reordered(case: _Case) -> int:
    """What copies of frozen matrices take, less the originals where these can be paged out."""
    config = case.config
    reads_fast = case.on_cpu and case.element < _MASTER_BYTES and case.is_written_out
    passes = config.adapts or config.train_embeddings
    if (
        not reads_fast
        or config.quantised
        or not passes
        or config.training_type is TrainingType.FULL
    ):
        return 0
    frozen = case.layers if config.adapts else case.layers - config.trainable_layers
    matrices = (case.facts.linear_parameters or 0) * frozen // case.layers * case.element
    if 2 * matrices > SPARE * case.machine.available_bytes:
        return 0
    mapped = config.adapts and case.facts.dtype == "bfloat16"
    return matrices if mapped else 2 * matrices


def _base(case: _Case) -> int:
    if not case.on_cpu:
        return 0
    rows = case.rows.count * (_ROW_BYTES + _TOKEN_BYTES * case.rows.mean)
    base = LIBRARIES_BYTES + CPU_GROWTH_BYTES + round(rows)
    if case.config.needs_bitsandbytes:
        base += BITSANDBYTES_BYTES
    if case.config.quantised:
        base += round((case.facts.linear_parameters or 0) * _SCALES_BYTES)
    return base


def _while_loading(case: _Case) -> int:
    """What the process holds once the base is loaded, beside it the mapped file where its numbers
    are of another type."""
    if not case.on_cpu:
        return 0
    loaded = case.element if case.config.adapts else _MASTER_BYTES
    converted = _STORED_BYTES.get(case.facts.dtype) != loaded
    held = case.facts.parameter_count * loaded + (case.facts.size_bytes if converted else 0)
    return 0 if case.config.quantised else _base(case) + held
