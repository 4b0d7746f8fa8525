"""Configs, models and datasets of every kind, good and bad, as hypothesis draws them."""

from collections.abc import Mapping
from functools import partial

from hypothesis import strategies as st

from tests.factories import FACTS, SHAPE
from training.config import (
    DataType,
    LoraInitialisation,
    Optimizer,
    Scheduler,
    Sharding,
    TrainingConfig,
    TrainingType,
    resolve,
)
from training.devices.machine import Machine
from training.memory.advice import Estimator
from training.memory.closed_form import closed_form
from training.models.facts import ModelFacts
from training.steps.expected import ExpectedRows
from training.steps.schedule import total_steps
from training.validation import RunFacts

RATES = st.one_of(
    st.sampled_from([-1.0, 0.0, 1e-7, 1e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 0.01, 1.5]),
    st.floats(1e-6, 1e-2),
)
COUNTS = st.one_of(st.integers(-1, 40), st.sampled_from([0, 1, 64, 100, 1000, 5000, 10**9]))

CHOICES: Mapping[str, st.SearchStrategy[object]] = {
    "learning_rate": RATES,
    "batch_size": COUNTS,
    "epochs": COUNTS,
    "warmup_steps": COUNTS,
    "max_steps": st.none() | COUNTS,
    "weight_decay": st.sampled_from([-0.1, 0.0, 0.01, 0.1, 0.5, 1.0, 2.0]),
    "gradient_accumulation_steps": COUNTS,
    "max_gradient_norm": st.sampled_from([0.0, 1.0, 100.0]),
    "scheduler": st.sampled_from(Scheduler),
    "optimizer": st.sampled_from(Optimizer),
    "lora_rank": st.sampled_from([0, 1, 4, 7, 8, 16, 64, 100, 1024, 5000]),
    "lora_alpha": st.sampled_from([0, 1, 8, 14, 32, 128, 2048, 5000]),
    "lora_dropout": st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    "target_modules": st.sampled_from(
        [None, (), ("q_proj",), ("q_proj", "nothing"), ("nothing",), ("down_proj", " ")]
    ),
    "rs_lora": st.booleans(),
    "dora": st.booleans(),
    "lora_initialisation": st.sampled_from(LoraInitialisation),
    "trainable_layers": st.sampled_from([-1, 0, 1, 2, 4, 24, 5000]),
    "train_embeddings": st.booleans(),
    "max_sequence_length": st.sampled_from([1, 8, 64, 512, 1024, 2048, 32768, 2**21]),
    "validation_split": st.sampled_from([-0.1, 0.0, 0.001, 0.05, 0.1, 0.5, 0.9, 0.95]),
    "shuffle": st.booleans(),
    "max_samples": st.none() | COUNTS,
    "seed": st.sampled_from([-1, 0, 42, 2**32]),
    "early_stopping": st.fixed_dictionaries(
        {"enabled": st.booleans()}, optional={"patience": COUNTS, "min_delta": RATES}
    ),
    "checkpointing": st.fixed_dictionaries(
        {"enabled": st.booleans()}, optional={"interval": COUNTS, "keep_best": COUNTS}
    ),
    "devices": st.sampled_from([0, 1, 2, 4, 9, 5000]),
    "sharding": st.sampled_from(Sharding),
    "sample_prompts": st.sampled_from([(), ("Hi",), ("Hi", " "), ("Hi",) * 20]),
}
"""Of each option what it may be, usual values, unusual ones, and such that cannot be."""

choices = st.fixed_dictionaries({}, optional=dict(CHOICES))
methods = st.sampled_from(TrainingType)
configs = st.builds(resolve, methods, choices)

SMALL = FACTS
LARGE = FACTS.model_copy(
    update={
        "parameter_count": 4_000_000_000,
        "linear_parameters": 3_600_000_000,
        "layer_count": 32,
        "context_length": 32768,
        "shape": SHAPE.model_copy(update={"hidden_size": 2560, "layer_parameters": 100_000_000}),
    }
)
NARROW = FACTS.model_copy(
    update={
        "shape": SHAPE.model_copy(
            update={"linears": (SHAPE.linears[0].model_copy(update={"outputs": 5}),)}
        )
    }
)
UNKNOWN = FACTS.model_copy(
    update={
        "shape": None,
        "layer_count": None,
        "linear_parameters": None,
        "context_length": None,
        "has_chat_template": False,
    }
)
models = st.sampled_from([SMALL, LARGE, NARROW, UNKNOWN])
machines = st.none() | st.builds(
    Machine,
    device=st.sampled_from(["cpu", "cuda"]),
    bfloat16=st.booleans(),
    threads=st.just(2),
    available_bytes=st.sampled_from([300_000_000, 2 * 10**9, 12 * 10**9, 80 * 10**9]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[RunFacts, Estimator]:
    """What is known of a run, and how its memory would be estimated."""
    model, machine = draw(models), draw(machines)
    records = draw(st.sampled_from([0, 1, 2, 5, 20, 90, 199, 200, 1500, 10**6]))
    rows = sorted(draw(st.lists(st.floats(4, 50_000), min_size=20, max_size=20) | st.just([])))
    facts = RunFacts(
        records=records,
        duplicates=draw(st.integers(0, records)),
        data_type=draw(st.sampled_from(DataType)),
        row_tokens=tuple(rows),
        longest_row=rows[-1] + 1 if rows else None,
        trained_share=draw(st.sampled_from([None, 0.4])),
        parameter_count=model.parameter_count,
        layer_count=model.layer_count,
        linear_parameters=model.linear_parameters,
        shape=model.shape,
        context_length=model.context_length,
        has_chat_template=model.has_chat_template,
        device=machine.device if machine else None,
        held=draw(
            st.sampled_from([(), ("training_type", "lora_rank", "lora_alpha", "target_modules")])
        ),
    )
    return facts, partial(_estimate, model=model, machine=machine, facts=facts)


def _estimate(
    config: TrainingConfig, *, model: ModelFacts, machine: Machine | None, facts: RunFacts
) -> object:
    if machine is None or not facts.row_tokens:
        return None
    cut = [min(config.max_sequence_length, each) for each in facts.row_tokens]
    rows = ExpectedRows(
        count=max(1, facts.records),
        steps=max(1, total_steps(max(1, facts.records), config)),
        mean=sum(cut) / len(cut),
        deviation=0.0,
        longest=cut[-1],
        trained_share=0.5,
    )
    return closed_form(model, config, rows=rows, machine=machine)
