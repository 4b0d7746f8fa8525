"""The arithmetic of the training benchmark: what is compared, and when it refuses to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.training import workloads
from benchmarks.training.equality import differences
from benchmarks.training.figures import Figures, Training, told_by_job, told_by_peer
from benchmarks.training.flops import training_flops
from benchmarks.training.packing import Packs, packs
from benchmarks.training.ratios import ratios
from benchmarks.training.workloads import Workload
from tests.tiny_model import make_tiny_model
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, write_job
from training.events import EpochCompleted

WORKLOAD = Workload("tried", "none", rows=2, method="LORA", learning_rate=1e-4)

TRAINING = Training(
    began_at=100.0,
    first_step_at=102.0,
    ended_at=104.0,
    tokens=8,
    label_tokens=3,
    steps=1,
    first_loss=4.0,
    last_loss=3.0,
    mean_loss=3.5,
    gradient_norm=1.0,
    held_bytes=500,
)
FIGURES = Figures(
    training=TRAINING,
    whole_seconds=10.0,
    cpu_seconds=12.0,
    first_step_seconds=5.0,
    peak_bytes=1,
    changed_weights=6,
    checked_weights=6,
)


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    """Two rows of five and three tokens, of which three bear loss."""
    monkeypatch.setattr(workloads, "HOME", tmp_path)
    WORKLOAD.folder.mkdir(parents=True)
    rows = [
        {"input_ids": [1, 2, 3, 4, 5], "labels": [-100, -100, -100, 4, 5]},
        {"input_ids": [1, 2, 3], "labels": [-100, -100, 3]},
    ]
    WORKLOAD.rows_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return WORKLOAD


def with_training(**changes: float) -> Figures:
    return replace(FIGURES, training=replace(TRAINING, **changes))  # type: ignore[arg-type]


def test_equal_work_is_comparable(workload: Workload) -> None:
    measured = {"ours": [FIGURES], "trainer": [with_training(first_loss=4.01, mean_loss=3.55)]}
    assert differences(measured, workload) == []


@pytest.mark.parametrize(
    ("figures", "difference"),
    [
        (
            with_training(tokens=7),
            "trainer trained 7 tokens, 3 of them labels, instead of 8 and 3.",
        ),
        (with_training(steps=2), "trainer took 2 steps instead of 1."),
        (with_training(gradient_norm=0.0), "trainer had no gradient (norm 0.0)."),
        (replace(FIGURES, changed_weights=0), "trainer changed no weight."),
        (
            with_training(first_loss=4.1),
            "The first step's loss is 4.0000 for ours and 4.1000 for trainer.",
        ),
        (
            with_training(mean_loss=float("nan")),
            "The mean loss of trainer is nan.",
        ),
    ],
)
def test_unequal_work_is_named(workload: Workload, figures: Figures, difference: str) -> None:
    assert differences({"ours": [FIGURES], "trainer": [figures]}, workload) == [difference]


def test_a_packed_peer_may_see_other_rows_a_step(workload: Workload) -> None:
    packed = with_training(first_loss=9.0, mean_loss=9.0, steps=2)
    assert differences({"ours": [FIGURES], "trl-packing": [packed]}, workload) == []


def test_packs_hold_as_many_tokens_as_a_step_of_everyone_else() -> None:
    assert packs([6, 4, 5, 5], rows_per_step=2) == Packs(length=10, per_step=1)


def test_packs_grow_until_the_steps_are_as_few() -> None:
    assert packs([4, 4, 4, 2], rows_per_step=2) == Packs(length=8, per_step=1)


def test_packs_longer_than_the_peers_default_are_several_a_step() -> None:
    assert packs([700] * 8, rows_per_step=8) == Packs(length=1400, per_step=6)


def test_ours_is_compared_with_whoever_is_best(
    workload: Workload,
) -> None:
    workload.model_path.mkdir(parents=True)
    (workload.model_path / "config.json").write_text(json.dumps(SIZES))
    quick = replace(with_training(ended_at=106.0), whole_seconds=15.0, peak_bytes=4)
    small = replace(with_training(ended_at=112.0), whole_seconds=30.0, peak_bytes=2)
    slow = with_training(ended_at=120.0)
    measured = {
        "ours": [with_training(ended_at=110.0), FIGURES],
        "trainer": [quick],
        "trl": [small],
        "trl-packing": [replace(slow, training=replace(slow.training, steps=2))],
    }
    found = ratios(measured, workload, peak=1e6)
    assert [(ratio.value, ratio.is_met) for ratio in found[1:]] == [
        (1.5, False),
        (3.0, False),
        (1.5, False),
        (0.5, True),
    ]
    assert found[1].name == "tokens/s, ours / the fastest peer (trainer)"
    assert found[4].name == "peak memory, ours / the lowest peer (trl)"


SIZES = {
    "hidden_size": 4,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
}


@pytest.mark.parametrize(
    ("method", "operations"),
    [
        # A block has 4·4 + 2·4·2 + 4·4 + 3·4·6 = 120 weights and adapters of 16·58 = 928.
        ("LORA", (4 * 240 + 6 * 1856) * 8 + 4 * 40 * 3 + 6 * 2 * 4 * (25 + 9)),
        ("FULL", 6 * 240 * 8 + 6 * 40 * 3 + 6 * 2 * 4 * (25 + 9)),
    ],
)
def test_operations_are_counted_as_the_table_says(
    tmp_path: Path, method: str, operations: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    counted = training_flops(tmp_path, method=method, lengths=[5, 3], label_tokens=3)
    assert counted == operations


def test_a_peers_figures_are_weighed_by_label_tokens(tmp_path: Path) -> None:
    told = {
        "began": 100.0,
        "first_step": 102.0,
        "ended": 104.0,
        "losses": [4.0, 2.0],
        "gradient_norms": [0.5, 1.5],
        "tokens": [5, 3],
        "label_tokens": [1, 3],
        "cuda_peak_bytes": 700,
    }
    (tmp_path / "figures.json").write_text(json.dumps(told))
    assert told_by_peer(tmp_path) == Training(
        began_at=100.0,
        first_step_at=102.0,
        ended_at=104.0,
        tokens=8,
        label_tokens=4,
        steps=2,
        first_loss=4.0,
        last_loss=2.0,
        mean_loss=2.5,
        gradient_norm=1.5,
        held_bytes=700,
    )


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
def test_a_jobs_figures_are_read_from_its_events(tmp_path: Path) -> None:
    choices = {"epochs": 1, "validation_split": 0.0, "shuffle": False}
    model = make_tiny_model(tmp_path / "tiny-model")
    job = write_job(tmp_path / "job", model, qa_rows(8), **choices)
    one_step = write_job(tmp_path / "one-step", model, qa_rows(8), max_steps=1, **choices)
    same_rows = write_job(tmp_path / "same-rows", model, qa_rows(4), **choices)
    ends = [run_here(each) for each in (job, one_step, same_rows)]
    assert ends[0].result is not None
    told = told_by_job(job, one_step)
    (epoch,) = of_kind(read_events(job), EpochCompleted)
    (first,) = of_kind(read_events(one_step), EpochCompleted)
    (same,) = of_kind(read_events(same_rows), EpochCompleted)
    assert first.training_loss == pytest.approx(same.training_loss, rel=1e-3)  # in bf16
    assert (told.steps, told.label_tokens) == (2, ends[0].result.trained_tokens)
    assert (told.first_loss, told.mean_loss) == (first.training_loss, epoch.training_loss)
    assert told.gradient_norm > 0
    assert told.held_bytes > 10**8  # of a CPU it is the whole process
    assert told.began_at < told.first_step_at < epoch.at.timestamp() + 0.5
    assert told.ended_at == epoch.at.timestamp()
