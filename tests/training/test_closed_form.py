"""What is told of a run's memory from its model's shape, against a dry run of the same."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import FACTS
from tests.tiny_model import ARCHITECTURES, make_architecture
from tests.training.data.files import statistics
from tests.training.reckoning import (
    CPU,
    LITTLE,
    by_dry_run,
    empty_model,
    expected,
    facts_of,
    own,
    processor,
    rows_of,
)
from training.config import DataType, JobSpec, Sharding, TrainingType, resolve
from training.data.records import canonical_line
from training.devices.machine import Machine, look
from training.engine.choice import choose
from training.estimates import EstimateMethod
from training.events import ComputePath
from training.memory.closed_form import _Case, closed_form
from training.methods.quantisation import load_quantised
from training.models.base_models import load_base
from training.models.inspection import inspect
from training.models.modules import linear_parameters
from training.steps.expected import Stored, expected_rows

LENGTHS = [random.Random(n).randrange(60, 480) for n in range(64)]


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # peft's, of GPT-2's Conv1D
@pytest.mark.parametrize(
    ("method", "bfloat16"),
    [
        (TrainingType.LORA, True),
        (TrainingType.LORA, False),
        (TrainingType.FULL, True),
        (TrainingType.FREEZE, True),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_a_run_is_told_within_a_fifth_of_what_a_dry_run_tells(
    kind: str, method: TrainingType, bfloat16: bool
) -> None:
    machine = processor(bfloat16=bfloat16)
    config = resolve(method, {})
    model = empty_model(kind)
    told = closed_form(
        facts_of(model), config, rows=expected(LENGTHS, 0.4, config), machine=machine
    )
    assert told is not None
    assert told.method is EstimateMethod.CLOSED_FORM
    dry = by_dry_run(model, config, rows_of(LENGTHS, 0.4), machine)
    assert told.gradients == dry.gradients
    assert told.optimizer == dry.optimizer
    assert told.weights == pytest.approx(dry.weights, rel=0.01)
    assert own(told) == pytest.approx(own(dry), rel=0.2)


@pytest.mark.parametrize(
    ("choices", "method"),
    [
        ({}, TrainingType.LORA),
        ({"dora": True}, TrainingType.LORA),
        ({"lora_dropout": 0.0}, TrainingType.LORA),
        ({"target_modules": ("q_proj", "down_proj"), "lora_rank": 64}, TrainingType.LORA),
        ({"train_embeddings": True, "trainable_layers": 3}, TrainingType.FREEZE),
        ({"batch_size": 1}, TrainingType.FULL),
        ({"optimizer": "ADAMW_8BIT"}, TrainingType.LORA),
    ],
)
def test_options_are_told_as_well(choices: dict[str, Any], method: TrainingType) -> None:
    machine = processor(bfloat16=True)
    config = resolve(method, choices)
    model = empty_model("qwen3", tie_word_embeddings=True)
    told = closed_form(
        facts_of(model), config, rows=expected(LENGTHS, 0.4, config), machine=machine
    )
    assert told is not None
    dry = by_dry_run(model, config, rows_of(LENGTHS, 0.4), machine)
    assert told.gradients == dry.gradients
    assert told.optimizer == pytest.approx(dry.optimizer, rel=0.02)
    assert told.weights == pytest.approx(dry.weights, rel=0.01)
    assert own(told) == pytest.approx(own(dry), rel=0.2)


@pytest.mark.parametrize("length", [1000, 1500])
def test_long_rows_are_told_by_the_way_in_which_attention_is_computed(length: int) -> None:
    machine = processor(bfloat16=True)
    config = resolve(TrainingType.LORA, {"batch_size": 4})
    model, lengths = empty_model("llama"), [length] * 8
    told = closed_form(
        facts_of(model), config, rows=expected(lengths, 0.4, config), machine=machine
    )
    dry = by_dry_run(model, config, rows_of(lengths, 0.4), machine)
    assert told is not None
    assert own(told) == pytest.approx(own(dry), rel=0.05)


def test_scores_count_where_there_are_no_kernels_that_keep_none() -> None:
    config = resolve(TrainingType.LORA, {"batch_size": 4})
    facts, rows = facts_of(empty_model("llama")), expected([1000] * 8, 0.4, config)
    machine = Machine(device="cpu", bfloat16=True, threads=1, available_bytes=LITTLE)
    without, with_kernels = (
        closed_form(facts, config, rows=rows, machine=machine.model_copy(update={"compiles": each}))
        for each in (False, True)
    )
    assert without is not None
    assert with_kernels is not None
    scores = 8 * 8 * 2 * 1000**2 * 2  # of layers, heads, rows, and two bytes each
    assert without.activations - with_kernels.activations > scores


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_way_that_is_reckoned_with_is_the_way_that_a_run_takes(
    kind: str, tmp_path: Path
) -> None:
    model = load_base(str(make_architecture(tmp_path, kind)), torch.float32)
    facts, config = facts_of(model), resolve(TrainingType.FULL, {})
    rows = rows_of([20, 30], 0.5)
    machine = Machine(device="cpu", bfloat16=False, threads=2, available_bytes=LITTLE)
    assert facts.shape is not None
    case = _Case(facts, facts.shape, 3, config, expected([20, 30], 0.5, config), machine)
    taken = choose(model, rows, CPU).path
    assert taken is (ComputePath.FUSED if case.is_written_out else ComputePath.PACKED)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_weights_in_four_bits_are_told_as_they_are_held(kind: str, tmp_path: Path) -> None:
    folder = make_architecture(tmp_path, kind)
    facts = facts_of(load_base(str(folder), torch.float32))
    config = resolve(TrainingType.QLORA, {"lora_rank": 4})
    machine = Machine(device="cpu", bfloat16=True, threads=1, available_bytes=LITTLE)
    told = closed_form(facts, config, rows=expected([64] * 16, 0.5, config), machine=machine)
    held = sum(each.nbytes for each in load_quantised(str(folder), torch.bfloat16).parameters())
    assert told is not None
    assert told.weights - 6 * told.gradients // 4 == pytest.approx(held, rel=0.01)


@pytest.mark.slow
def test_a_run_beside_a_base_in_four_bits_is_told_as_well(tmp_path: Path) -> None:
    machine = processor(bfloat16=True)
    config = resolve(TrainingType.QLORA, {})
    model = empty_model("llama", tie_word_embeddings=True).to(torch.bfloat16)
    for weight in model.parameters():
        torch.nn.init.constant_(weight, 0.01)
    model.save_pretrained(tmp_path)
    told = closed_form(
        facts_of(model), config, rows=expected(LENGTHS, 0.4, config), machine=machine
    )
    base = load_quantised(str(tmp_path), torch.bfloat16)
    dry = by_dry_run(base, config, rows_of(LENGTHS, 0.4), machine)
    assert told is not None
    assert (told.gradients, told.optimizer) == (dry.gradients, dry.optimizer)
    assert told.weights == pytest.approx(dry.weights, rel=0.01)
    assert own(told) == pytest.approx(own(dry), rel=0.2)


def test_copies_of_frozen_matrices_count_as_weights_where_there_is_room_for_them() -> None:
    config = resolve(TrainingType.LORA, {})
    model = empty_model("llama")
    base, rows = facts_of(model), expected(LENGTHS, 0.4, config)
    weights = []
    for available, stored in ((LITTLE, "float32"), (10**11, "float32"), (10**11, "bfloat16")):
        machine = Machine(device="cpu", bfloat16=True, threads=2, available_bytes=available)
        facts = base.model_copy(update={"dtype": stored})
        told = closed_form(facts, config, rows=rows, machine=machine)
        assert told is not None
        weights.append(told.weights)
    copies = 2 * 2 * linear_parameters(model)
    assert weights[1] == weights[0] + copies
    assert weights[2] == weights[0] + copies // 2  # the originals lie in the file


@pytest.mark.parametrize(
    ("choices", "changes"),
    [
        ({}, {"shape": None}),
        ({}, {"layer_count": None}),
        ({"target_modules": ("no_such_layer",)}, {}),
        ({"devices": 2, "sharding": Sharding.FULL}, {}),
    ],
)
def test_what_cannot_be_told_is_not_guessed(
    choices: dict[str, Any], changes: dict[str, None]
) -> None:
    config = resolve(TrainingType.LORA, choices)
    machine = Machine(device="cpu", bfloat16=True, threads=2, available_bytes=LITTLE)
    facts = FACTS.model_copy(update=changes)
    assert closed_form(facts, config, rows=expected(LENGTHS, 0.4, config), machine=machine) is None


def test_processes_on_one_cpu_share_its_memory_and_the_rows_of_a_step() -> None:
    rows = expected(LENGTHS, 0.4, resolve(TrainingType.LORA, {}))
    machine = Machine(device="cpu", bfloat16=True, threads=1, available_bytes=LITTLE)
    alone, together = (
        closed_form(
            FACTS, resolve(TrainingType.LORA, {"devices": count}), rows=rows, machine=machine
        )
        for count in (1, 2)
    )
    assert alone is not None
    assert together is not None
    assert (alone.available, together.available) == (LITTLE, LITTLE // 2)
    assert together.activations < 0.8 * alone.activations


def test_a_card_holds_no_libraries_and_computes_one_micro_batch_at_a_time() -> None:
    config = resolve(TrainingType.FULL, {"batch_size": 64})
    machine = Machine(device="cuda", bfloat16=True, threads=8, available_bytes=10**10)
    told = closed_form(FACTS, config, rows=expected(LENGTHS, 0.4, config), machine=machine)
    assert told is not None
    assert told.base == 0
    assert told.weights == 6 * FACTS.parameter_count
    assert told.gradients == 4 * FACTS.parameter_count
    assert told.peak == own(told)


@pytest.mark.slow
def test_a_real_run_tells_the_same(make_job: Callable[..., Path], tiny_model: Path) -> None:
    lines = [
        {"question": f"What is {n} and {n}? " * 6, "answer": f"It is {2 * n}. " * 6}
        for n in range(24)
    ]
    folder = make_job(rows=lines, epochs=1, batch_size=4, max_sequence_length=256)
    subprocess.run([sys.executable, "-P", "-m", "training.run", folder], check=True, timeout=50)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (memory,) = [each["memory"] for each in events if each["kind"] == "MemoryEstimated"]
    (used,) = [each for each in events if each["kind"] == "ResourcesUsed"]
    (prepared,) = [each for each in events if each["kind"] == "DataPrepared"]
    config = JobSpec.model_validate_json((folder / "job.json").read_bytes()).config
    content = b"".join(map(canonical_line, lines))
    stored = Stored(DataType.QA, len(content), statistics(DataType.QA, lines))
    facts = inspect(str(tiny_model))
    assert facts.tokenizer is not None
    rows = expected_rows(stored, facts.tokenizer, config)
    machine = look((), threads=len(os.sched_getaffinity(0)))
    assert rows is not None
    assert machine is not None
    assert (rows.count, rows.steps) == (prepared["training_records"], prepared["total_steps"])
    told = closed_form(facts, config, rows=rows, machine=machine)
    assert told is not None
    assert (told.gradients, told.optimizer) == (memory["gradients"], memory["optimizer"])
    assert told.activations == pytest.approx(memory["activations"], rel=0.2)
    # Libraries are nearly all of so small a run, and how much of their files lies in memory is the
    # machine's own doing: that part is taken as the run found it.
    found = memory["base"] + memory["weights"]
    own_peak = found + told.gradients + told.optimizer + told.activations + told.logits
    assert own_peak == pytest.approx(memory["peak"], rel=0.01)
    assert own_peak == pytest.approx(used["peak_memory_bytes"], rel=0.2)
    assert told.base + told.weights == pytest.approx(found, rel=0.3)
