"""Whole runs of a tiny model, in this process."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_model import make_tiny_model
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, write_job
from training.config import DataType, TrainingType
from training.engine import making as engines
from training.engine.engine import Engine
from training.errors import (
    BestCheckpointMismatch,
    DatasetDamaged,
    ModelUnreadable,
    NothingToTrain,
    OutOfMemory,
    TargetModulesNotFound,
)
from training.estimates import EstimateMethod
from training.events import (
    CheckpointSaved,
    DataPrepared,
    EpochCompleted,
    Finished,
    MemoryEstimated,
    Outcome,
    Phase,
    PhaseStarted,
    ResourcesUsed,
    Resumed,
    SamplesGenerated,
    StoppedEarly,
    TimeEstimated,
    WarningRaised,
)
from training.files import damage, sha256_of
from training.scores import Scores
from training.steps.errors import NonFiniteLoss

MakeJob = Callable[..., Path]


def stop_after(looks: int) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) >= looks


def weights_of(job: Path) -> dict[str, torch.Tensor]:
    (path,) = (job / "model").glob("*.safetensors")
    return load_file(path)


def assert_same_weights(first: Path, second: Path) -> None:
    ours, theirs = weights_of(first), weights_of(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 0
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) == 0.0


def test_a_run_ends_with_a_model_and_tells_its_way(make_job: MakeJob) -> None:
    job = make_job(sample_prompts=("What is 3 and 3?",))
    end = run_here(job, estimated=True)
    found = read_events(job)
    assert end.outcome is Outcome.COMPLETED
    assert [event.phase for event in of_kind(found, PhaseStarted)] == [
        Phase.TRAINING,
        Phase.VALIDATING,
    ]
    (data,) = of_kind(found, DataPrepared)
    assert (data.training_records, data.validation_records, data.total_steps) == (10, 2, 6)
    epochs = of_kind(found, EpochCompleted)
    assert [event.epoch for event in epochs] == [1, 2]
    assert epochs[1].training_loss < epochs[0].training_loss
    assert [event.stage for event in of_kind(found, SamplesGenerated)] == ["BEFORE", "AFTER"]
    names = [event.name for event in of_kind(found, CheckpointSaved)]
    assert names == ["epoch-001-step-000003", "epoch-002-step-000006"]
    assert end.result is not None
    assert (end.result.adapter, end.result.final_epoch) == (True, 2)
    assert end.result.trained_tokens == 2 * data.trained_tokens
    assert damage(job / "model") is None
    adapter = json.loads((job / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "tiny-model"


def test_what_a_run_needs_is_estimated_first_and_measured_last(make_job: MakeJob) -> None:
    job = make_job(rows=qa_rows(20), epochs=3)
    run_here(job, estimated=True)
    found = read_events(job)
    kinds = [event.kind for event in found]
    training = next(
        index
        for index, event in enumerate(found)
        if isinstance(event, PhaseStarted) and event.phase is Phase.TRAINING
    )
    assert kinds.index("MemoryEstimated") < training < kinds.index("TimeEstimated")
    assert kinds.index("TimeEstimated") < kinds.index("EpochCompleted")
    assert kinds[-2:] == ["ResourcesUsed", "Finished"]
    (estimated,), (used,) = of_kind(found, MemoryEstimated), of_kind(found, ResourcesUsed)
    memory = estimated.memory
    assert memory.method is EstimateMethod.DRY_RUN
    assert memory.fits
    adapter = 4 * of_kind(found, Finished)[0].result.trainable_parameters  # type: ignore[union-attr]
    assert memory.optimizer == 2 * adapter
    assert adapter < memory.weights < 10_000_000
    assert memory.activations > 0
    assert used.peak_memory_bytes >= memory.base
    (time,) = of_kind(found, TimeEstimated)
    assert used.seconds >= time.seconds * 0.5


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_estimating_changes_nothing_of_the_run(make_job: MakeJob, method: TrainingType) -> None:
    choices = {"training_type": method, "lora_dropout": 0.1, "epochs": 2}
    estimated, plain = make_job("estimated", **choices), make_job("plain", **choices)
    assert run_here(estimated, stop_after(9), estimated=True).outcome is Outcome.CANCELLED
    run_here(estimated, estimated=True)
    assert len(of_kind(read_events(estimated), Resumed)) == 1
    assert len(of_kind(read_events(estimated), MemoryEstimated)) == 2
    run_here(plain)
    assert of_kind(read_events(plain), MemoryEstimated) == []
    assert_same_weights(estimated, plain)


def test_a_run_that_ends_for_lack_of_memory_says_what_it_was_to_need(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 B")

    monkeypatch.setattr("training.pipeline.train", fail)
    monkeypatch.setattr("training.memory.forecast.available_bytes", lambda _hardware: 1000)
    job = make_job()
    with pytest.raises(OutOfMemory, match=r"the estimate was \d\.\d\d GB \(weights 0\.00 GB"):
        run_here(job, estimated=True)
    (warning,) = of_kind(read_events(job), WarningRaised)
    assert warning.code == "MEMORY_MAY_NOT_SUFFICE"
    assert warning.message.endswith("with 0.00 GB available.")


def test_no_path_of_this_machine_is_in_the_model(make_job: MakeJob, tmp_path: Path) -> None:
    for method in TrainingType:
        job = make_job(method.value, training_type=method, epochs=1)
        run_here(job)
        for path in (job / "model").iterdir():
            assert str(tmp_path.parent.parent).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("data_type", "row"),
    [
        (DataType.TEXT, {"text": "The capital of France is Paris"}),
        (DataType.CODE, {"code": "def add(first, second)"}),
        (DataType.COMPLETION, {"prompt": "The capital", "completion": " is Paris"}),
        (
            DataType.CHAT,
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Yo"},
                ]
            },
        ),
    ],
)
def test_every_data_type_trains(
    make_job: MakeJob, data_type: DataType, row: dict[str, object]
) -> None:
    rows = [json.loads(json.dumps(row).replace("a", f"a{n}", 1)) for n in range(6)]
    if data_type is DataType.CHAT:
        rows = [row] * 6
    job = make_job(rows=rows, data_type=data_type, epochs=1, validation_split=0.0)
    assert run_here(job).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("method", TrainingType)
def test_the_same_seed_gives_the_same_model(make_job: MakeJob, method: TrainingType) -> None:
    first, second = (make_job(name, training_type=method) for name in ("first", "second"))
    run_here(first)
    run_here(second)
    assert_same_weights(first, second)
    other = make_job("other", training_type=method, seed=7)
    run_here(other)
    ours, theirs = weights_of(first), weights_of(other)
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", TrainingType)
def test_a_stopped_run_goes_on_to_the_very_same_model(
    make_job: MakeJob, method: TrainingType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CPU_TOKENS", 64)  # several micro-batches a step
    choices = {
        "training_type": method,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "epochs": 3,
        "rows": qa_rows(14),
    }
    whole, stopped = make_job("whole", **choices), make_job("stopped", **choices)
    run_here(whole)
    for looks in (9, 12, 10):
        assert run_here(stopped, stop_after(looks)).outcome is Outcome.CANCELLED
    assert not (stopped / "model").exists()
    assert run_here(stopped).outcome is Outcome.COMPLETED
    assert len(of_kind(read_events(stopped), Resumed)) >= 2
    assert_same_weights(whole, stopped)


@pytest.mark.parametrize("looks", range(1, 5))
def test_a_stop_before_the_first_step_leaves_nothing_behind(make_job: MakeJob, looks: int) -> None:
    job = make_job()
    assert run_here(job, stop_after(looks)).outcome is Outcome.CANCELLED
    assert list((job / "checkpoints").iterdir()) == []


@pytest.fixture(scope="module")
def ended(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that ran to its end, to be copied."""
    job = write_job(tmp_path_factory.mktemp("ended") / "job", tiny_model, qa_rows(12))
    assert run_here(job).outcome is Outcome.COMPLETED
    return job


@pytest.mark.parametrize("harm", ["missing", "cut off"])
@pytest.mark.parametrize(
    "name",
    ["weights.safetensors", "optimizer.safetensors", "checkpoint.json", "manifest.json"],
)
def test_a_damaged_checkpoint_costs_an_epoch_and_not_the_run(
    ended: Path, tmp_path: Path, name: str, harm: str
) -> None:
    job = shutil.copytree(ended, tmp_path / "damaged")
    (job / "model" / "adapter_model.safetensors").unlink()
    damaged = job / "checkpoints" / "epoch-002-step-000006" / name
    if harm == "missing":
        damaged.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[:-2])
    assert run_here(job).outcome is Outcome.COMPLETED
    found = read_events(job)
    (warning,) = of_kind(found, WarningRaised)
    assert warning.code == "CHECKPOINT_DAMAGED"
    assert "epoch-002-step-000006" in warning.message
    assert (name if name != "manifest.json" else "its manifest cannot be read") in warning.message
    assert [event.step for event in of_kind(found, Resumed)] == [3]
    assert_same_weights(ended, job)


def test_a_checkpoint_saved_without_a_word_is_announced(make_job: MakeJob) -> None:
    job = make_job(epochs=3)
    run_here(job, stop_after(12))
    path = job / "events.jsonl"
    lines = [line for line in path.read_bytes().splitlines(True) if b"CheckpointSaved" not in line]
    path.write_bytes(b"".join(lines))
    run_here(job)
    names = [event.name for event in of_kind(read_events(job), CheckpointSaved)]
    assert names[0] == "epoch-001-step-000003"
    assert len(names) == len(set(names))


def test_retention_keeps_the_best_and_the_last_on_disk(make_job: MakeJob) -> None:
    job = make_job(epochs=4, checkpointing={"keep_best": 1})
    run_here(job)
    saved = of_kind(read_events(job), CheckpointSaved)
    removed = {name for event in saved for name in event.removed}
    kept = {path.name for path in (job / "checkpoints").iterdir()}
    assert kept == {event.name for event in saved} - removed
    assert len(kept) <= 2


def test_an_interval_skips_epochs_but_never_the_last(make_job: MakeJob) -> None:
    job = make_job(epochs=3, checkpointing={"interval": 2})
    run_here(job)
    assert [event.epoch for event in of_kind(read_events(job), CheckpointSaved)] == [2, 3]


def test_a_run_stops_early_and_keeps_the_best(make_job: MakeJob) -> None:
    policy = {"enabled": True, "patience": 1, "min_delta": 100.0}
    job = make_job(epochs=9, early_stopping=policy)
    end = run_here(job)
    (event,) = of_kind(read_events(job), StoppedEarly)
    assert (event.epoch, event.best_epoch) == (2, 1)
    assert end.result is not None
    assert (end.result.stopped_early, end.result.final_epoch) == (True, 2)


def test_max_steps_end_a_run_amid_an_epoch(make_job: MakeJob) -> None:
    job = make_job(epochs=5, max_steps=4)
    end = run_here(job)
    assert end.result is not None
    assert end.result.final_epoch == 2
    assert [event.step for event in of_kind(read_events(job), CheckpointSaved)] == [3, 4]


def test_cut_and_dropped_records_are_named(make_job: MakeJob) -> None:
    rows = [*qa_rows(6), {"question": "long " * 60, "answer": "x"}]
    rows.append({"question": "x", "answer": "long " * 60})
    job = make_job(rows=rows, max_sequence_length=60, epochs=1)
    run_here(job)
    warnings = {event.code: event.message for event in of_kind(read_events(job), WarningRaised)}
    assert warnings["RECORDS_DROPPED"].endswith("line 7.")
    assert warnings["RECORDS_TRUNCATED"].endswith("line 8.")


def test_nothing_left_to_train_is_an_error(make_job: MakeJob) -> None:
    job = make_job(max_sequence_length=8)
    with pytest.raises(NothingToTrain, match="12 records 12 have no token left"):
        run_here(job)


def test_unknown_target_modules_are_named(make_job: MakeJob) -> None:
    with pytest.raises(TargetModulesNotFound, match="no_such_proj"):
        run_here(make_job(target_modules=("no_such_proj",)))
    with pytest.raises(TargetModulesNotFound, match="lm_head is never adapted"):
        run_here(make_job("head", target_modules=("q_proj", "lm_head")))
    with pytest.raises(TargetModulesNotFound, match="embed_tokens is never adapted"):
        run_here(make_job("embeddings", target_modules=("embed_tokens",)))


def test_a_damaged_line_of_data_is_named(make_job: MakeJob) -> None:
    job = make_job(rows=[*qa_rows(2), {"question": "only"}])
    with pytest.raises(DatasetDamaged, match="line 3: The field answer is missing"):
        run_here(job)


def test_a_model_that_is_not_there_is_named(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match="nowhere"):
        run_here(make_job(model=tmp_path / "nowhere"))


def test_a_loss_that_is_not_a_number_ends_the_run(make_job: MakeJob, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "broken")
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteLoss, match="nan in epoch 1 at step 1"):
        run_here(make_job(model=model))


def test_a_best_checkpoint_that_scores_otherwise_is_an_error(ended: Path, tmp_path: Path) -> None:
    job = shutil.copytree(ended, tmp_path / "job")
    (job / "events.jsonl").unlink()
    for folder in (job / "checkpoints").iterdir():
        path = folder / "checkpoint.json"
        described = json.loads(path.read_text())
        described["metrics"]["validation_loss"] -= 1.0
        path.write_text(json.dumps(described))
        manifest = json.loads((folder / "manifest.json").read_text())
        entry = next(each for each in manifest["files"] if each["name"] == "checkpoint.json")
        entry |= {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BestCheckpointMismatch, match="was saved with loss"):
        run_here(job)


def test_a_validation_loss_that_is_not_finite_ends_the_run_by_name(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "score", lambda _self, packs: Scores(math.nan, 0, len(packs)))
    job = make_job()
    with pytest.raises(NonFiniteLoss, match="in epoch 1"):
        run_here(job)
    assert of_kind(read_events(job), EpochCompleted) == []
