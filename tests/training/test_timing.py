"""What is told of a run's time before it starts, against runs that were made."""

from typing import Any, NamedTuple

import pytest

from tests.factories import FACTS, SHAPE
from training.config import TrainingConfig, TrainingType, resolve
from training.devices.machine import Machine
from training.devices.rate import measure
from training.models.facts import Linear, ModelFacts
from training.steps.expected import ExpectedRows
from training.steps.schedule import total_steps
from training.timing.estimate import EarlierRun, TimeEstimate, TimeMethod, by_earlier, by_rate
from training.timing.operations import Operations, operations


def llama_like(
    kind: str, hidden: int, between: int, *, layers: int, vocabulary: int, keys: int, size: int
) -> ModelFacts:
    """A model whose heads are 64 wide, `size` parameters in all."""
    sides = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden, keys),
        "self_attn.v_proj": (hidden, keys),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (hidden, between),
        "mlp.up_proj": (hidden, between),
        "mlp.down_proj": (between, hidden),
    }
    shape = SHAPE.model_copy(
        update={
            "model_type": kind,
            "hidden_size": hidden,
            "intermediate_size": between,
            "heads": hidden // 64,
            "head_size": 64,
            "vocabulary_size": vocabulary,
            "linears": tuple(
                Linear(name=name, inputs=inputs, outputs=outputs, biased=False)
                for name, (inputs, outputs) in sides.items()
            ),
        }
    )
    linear = layers * sum(inputs * outputs for inputs, outputs in sides.values())
    changes = {
        "parameter_count": size,
        "linear_parameters": linear,
        "layer_count": layers,
        "shape": shape,
    }
    return FACTS.model_copy(update=changes | {"size_bytes": 2 * size})


SMOLLM2 = llama_like("llama", 576, 1536, layers=30, vocabulary=49152, keys=192, size=134_515_008)
MEDIUM = llama_like("qwen2", 512, 1408, layers=8, vocabulary=32_000, keys=128, size=38_943_232)
WIDE = llama_like("qwen3", 512, 1408, layers=8, vocabulary=151_936, keys=128, size=100_345_344)


class Recorded(NamedTuple):
    """A run that was made by itself, its machine's rate measured just before and after."""

    facts: ModelFacts
    method: TrainingType
    records: int
    tokens: int
    trained_tokens: int
    operations_per_second: float
    training_seconds: float
    """Of its steps."""
    whole_seconds: float
    """From its process's start to its end."""


RECORDED = {
    "smollm2-64": Recorded(SMOLLM2, TrainingType.LORA, 64, 4746, 1382, 9.26e11, 3.7, 7.5),
    "smollm2-512": Recorded(SMOLLM2, TrainingType.LORA, 512, 37_095, 10_735, 9.44e11, 29.5, 33.5),
    "medium-lora": Recorded(MEDIUM, TrainingType.LORA, 48, 13_846, 7536, 9.36e11, 3.0, 5.8),
    "medium-full": Recorded(MEDIUM, TrainingType.FULL, 48, 13_846, 7536, 9.23e11, 5.2, 10.2),
    "wide-lora": Recorded(WIDE, TrainingType.LORA, 24, 7533, 3905, 9.24e11, 3.9, 7.3),
}
"""The runs of the table in docs/benchmarks.md: one epoch of 8 rows a step, and no validation."""


def recorded_config(run: Recorded) -> TrainingConfig:
    return resolve(run.method, {"epochs": 1, "validation_split": 0.0})


def rows_of(run: Recorded, config: TrainingConfig) -> ExpectedRows:
    mean = run.tokens / run.records
    return ExpectedRows(
        count=run.records,
        steps=total_steps(run.records, config),
        mean=mean,
        deviation=mean / 3,
        longest=3 * mean,
        trained_share=run.trained_tokens / run.tokens,
    )


def machine(operations_per_second: float | None, *, compiles: bool = True) -> Machine:
    return Machine(
        device="cpu",
        bfloat16=True,
        threads=2,
        available_bytes=10**10,
        compiles=compiles,
        operations_per_second=operations_per_second,
    )


@pytest.mark.parametrize("name", RECORDED)
def test_a_run_is_told_from_the_machines_rate_within_the_factor_that_is_named(name: str) -> None:
    run = RECORDED[name]
    config = recorded_config(run)
    told = by_rate(
        run.facts,
        config,
        rows=rows_of(run, config),
        validation_rows=0,
        machine=machine(run.operations_per_second),
    )
    assert told is not None
    assert told.method is TimeMethod.MACHINE_RATE
    assert told.factor == 2.0
    assert 1 / told.factor <= told.total / run.whole_seconds <= told.factor
    assert told.training == pytest.approx(run.training_seconds, rel=0.3)
    assert told.total == pytest.approx(run.whole_seconds, rel=0.15)


SMALL = llama_like("qwen2", 512, 1536, layers=8, vocabulary=32_000, keys=256, size=41_563_648)


@pytest.mark.parametrize(
    ("method", "choices", "processor_seconds"),
    [
        (TrainingType.LORA, {}, 19.6),
        (TrainingType.LORA, {"dora": True}, 34.8),
        (TrainingType.QLORA, {}, 25.4),
        (TrainingType.FREEZE, {}, 19.3),
        (TrainingType.FULL, {}, 33.0),
    ],
)
def test_every_method_is_told_as_long_as_it_kept_a_processor_busy(
    method: TrainingType, choices: dict[str, Any], processor_seconds: float
) -> None:
    # runs of benchmarks/time_estimates.py on one thread of the same machine, two epochs of 27 rows and
    # 3 held out, every token trained; other programs ran, so that their seconds on the clock say less
    config = resolve(method, {"epochs": 2} | choices)
    rows = ExpectedRows(
        count=27,
        steps=total_steps(27, config),
        mean=9050 / 27,
        deviation=90,
        longest=500,
        trained_share=1.0,
    )
    slower = machine(4.7e11, compiles=False)  # as it was then
    told = by_rate(SMALL, config, rows=rows, validation_rows=3, machine=slower)
    assert told is not None
    assert told.total == pytest.approx(processor_seconds, rel=0.2)


def earlier_of(run: Recorded, **phases: float) -> EarlierRun:
    config = recorded_config(run)
    return EarlierRun(
        config=config,
        training_records=run.records,
        validation_records=0,
        tokens=run.tokens,
        trained_tokens=run.trained_tokens,
        steps=total_steps(run.records, config),
        same_rows=False,
        **phases,
    )


def test_a_run_is_told_from_an_earlier_one_within_the_factor_that_is_named() -> None:
    short, longer = RECORDED["smollm2-64"], RECORDED["smollm2-512"]
    earlier = earlier_of(short, preparing_seconds=3.1, training_seconds=3.8, validating_seconds=0.2)
    config = recorded_config(longer)
    told = by_earlier(
        longer.facts, config, rows=rows_of(longer, config), validation_rows=0, earlier=earlier
    )
    assert (told.method, told.factor) == (TimeMethod.EARLIER_RUN, 1.5)
    assert told.training == pytest.approx(longer.training_seconds, rel=0.1)
    assert told.total == pytest.approx(longer.whole_seconds, rel=0.1)


def test_the_same_run_again_takes_as_long() -> None:
    run = RECORDED["medium-lora"]
    earlier = earlier_of(run, preparing_seconds=3.8, training_seconds=4.6, validating_seconds=0.1)
    config = recorded_config(run)
    told = by_earlier(
        run.facts, config, rows=rows_of(run, config), validation_rows=0, earlier=earlier
    )
    assert told.preparing == pytest.approx(3.8)
    assert told.training == pytest.approx(4.6)


def told_by_rate(
    facts: ModelFacts, method: TrainingType = TrainingType.LORA, held_out: int = 0, **choices: Any
) -> TimeEstimate:
    run = RECORDED["smollm2-512"]
    config = resolve(method, {"epochs": 1} | choices)
    told = by_rate(
        facts,
        config,
        rows=rows_of(run, config),
        validation_rows=held_out,
        machine=machine(1e12),
    )
    assert told is not None
    return told


def test_more_epochs_more_validation_and_prompts_take_longer() -> None:
    one = told_by_rate(SMOLLM2)
    assert told_by_rate(SMOLLM2, epochs=3).training == pytest.approx(3 * one.training, rel=0.01)
    assert told_by_rate(SMOLLM2, max_steps=32).training == pytest.approx(one.training / 2, rel=0.05)
    judged = told_by_rate(SMOLLM2, held_out=512)
    assert one.training * 1.2 < judged.training < one.training * 1.5
    assert judged.validating - one.validating == pytest.approx(
        judged.training - one.training, rel=0.01
    )
    asked = told_by_rate(SMOLLM2, sample_prompts=("Hi",) * 4)
    assert asked.preparing - one.preparing == pytest.approx(asked.validating - one.validating)
    assert asked.preparing > one.preparing + 5


def test_methods_and_ways_differ() -> None:
    lora = told_by_rate(SMOLLM2)
    assert told_by_rate(SMOLLM2, TrainingType.FULL).training > lora.training
    assert told_by_rate(SMOLLM2, TrainingType.FREEZE).training < lora.training
    assert told_by_rate(SMOLLM2, TrainingType.QLORA).preparing > lora.preparing
    assert told_by_rate(SMOLLM2, dora=True).training > 1.5 * lora.training
    unknown = SMOLLM2.model_copy(update={"shape": None})
    assert told_by_rate(unknown).training > lora.training


def test_nothing_is_told_without_a_rate_nor_of_a_model_that_is_split() -> None:
    run = RECORDED["medium-lora"]
    for config, rate in (
        (recorded_config(run), None),
        (resolve(TrainingType.LORA, {"devices": 2, "sharding": "FULL"}), 1e12),
    ):
        rows = rows_of(run, config)
        assert (
            by_rate(run.facts, config, rows=rows, validation_rows=0, machine=machine(rate)) is None
        )


def test_operations_are_those_of_the_products() -> None:
    rows = ExpectedRows(count=1, steps=1, mean=100, deviation=0, longest=100, trained_share=0.25)
    weights = 8 * (512 * (512 + 128 + 128 + 512) + 3 * 512 * 1408)
    adapters = 8 * 16 * (2 * 1024 + 2 * 640 + 3 * 1920)
    head, attention = 2 * 32_000 * 512 * 25, 2 * 8 * 512 * 100**2
    forward = 200 * weights + attention + head
    assert operations(MEDIUM, resolve(TrainingType.FULL, {}), rows) == Operations(
        training=3 * forward, scoring=forward
    )
    adapted = forward + 200 * adapters
    assert operations(MEDIUM, resolve(TrainingType.LORA, {}), rows) == Operations(
        training=adapted + 200 * weights + 400 * adapters + 2 * attention + head, scoring=adapted
    )
    last = resolve(TrainingType.FREEZE, {"trainable_layers": 2})
    assert operations(MEDIUM, last, rows).training == forward + 100 * weights + attention / 2 + head


def test_a_processor_is_measured() -> None:
    assert 1e8 < measure().operations_per_second < 1e14
