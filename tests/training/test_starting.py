"""Runs that start from trained weights instead of the base model's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.jobs import of_kind, read_events, run_here, spec_of
from tests.training.test_pipeline import assert_same_weights, stop_after
from training.config import Start, StartKind, TrainingType
from training.errors import StartUnusable
from training.events import EpochCompleted, Outcome, Resumed, StartedFrom
from training.preparation import Prepared, prepare
from training.requests import ask_for_checkpoint
from training.steps.checkpoints import CheckpointStore

MakeJob = Callable[..., Path]

BOTH = pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
LAST = "epoch-002-step-000006"


def trained(make_job: MakeJob, method: TrainingType = TrainingType.LORA, **choices: object) -> Path:
    """A job folder with a version and two checkpoints, the last of which is the best."""
    job = make_job("source", training_type=method, **choices)
    assert run_here(job).outcome is Outcome.COMPLETED
    return job


def version(job: Path) -> Start:
    return Start(kind=StartKind.VERSION, name="v1.0.0", path=str(job / "model"))


def checkpoint(job: Path, name: str = LAST) -> Start:
    path = job / "checkpoints" / name
    return Start(kind=StartKind.CHECKPOINT, name=name, path=str(path))


def prepared(job: Path) -> Prepared:
    found = prepare(
        spec_of(job),
        job,
        emit=lambda _event: None,
        should_stop=lambda: False,
    )
    assert found is not None
    return found


@pytest.mark.parametrize("method", TrainingType)
def test_a_run_starts_with_the_very_weights_and_an_optimizer_of_its_own(
    make_job: MakeJob, method: TrainingType
) -> None:
    source = trained(make_job, method)
    saved = load_file(source / "checkpoints" / LAST / "weights.safetensors")
    for start in (version(source), checkpoint(source)):
        job = make_job(start.kind.value, training_type=method, start=start)
        fresh = prepared(job)
        ours = fresh.run.stepper.engine.weights.masters
        assert ours.keys() == saved.keys()
        assert all(torch.equal(ours[name].cpu(), saved[name]) for name in saved)
        assert (fresh.run.stepper.state.step, fresh.run.stepper.state.epoch) == (0, 0)
        assert fresh.run.stepper.tensors().optimizer == {}


@BOTH
def test_a_run_goes_on_learning_where_the_other_ended(
    make_job: MakeJob, method: TrainingType
) -> None:
    source = trained(make_job, method)
    job = make_job("next", training_type=method, start=version(source))
    assert run_here(job).outcome is Outcome.COMPLETED
    losses = [
        [event.training_loss for event in of_kind(read_events(each), EpochCompleted)]
        for each in (source, job)
    ]
    assert losses[1][0] < losses[0][-1] < losses[0][0]
    (told,) = of_kind(read_events(job), StartedFrom)
    assert (told.source, told.name) == (StartKind.VERSION, "v1.0.0")


@BOTH
def test_a_stopped_run_goes_on_from_its_own_checkpoint_to_the_very_same_model(
    make_job: MakeJob, method: TrainingType
) -> None:
    start = checkpoint(trained(make_job, method))
    whole, stopped = (
        make_job(name, training_type=method, start=start, epochs=3) for name in ("whole", "stopped")
    )
    run_here(whole)
    assert run_here(stopped, stop_after(8)).outcome is Outcome.CANCELLED
    assert run_here(stopped).outcome is Outcome.COMPLETED
    found = read_events(stopped)
    assert len(of_kind(found, Resumed)) == 1
    assert len(of_kind(found, StartedFrom)) == 1
    assert_same_weights(whole, stopped)


def test_a_checkpoint_saved_amid_an_epoch_is_a_start(make_job: MakeJob) -> None:
    source = make_job("source")
    ask_for_checkpoint(source)
    run_here(source)
    (asked,) = [c for c in CheckpointStore(source / "checkpoints").all() if c.requested]
    assert (asked.step, asked.metrics) == (1, None)
    job = make_job("next", start=checkpoint(source, asked.name))
    assert run_here(job).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("kind", list(StartKind))
def test_a_damaged_start_is_refused_by_name(make_job: MakeJob, kind: StartKind) -> None:
    source = trained(make_job)
    start = version(source) if kind is StartKind.VERSION else checkpoint(source)
    file = next(Path(start.path).glob("*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StartUnusable, match=f"from {start.name}: {file.name} has another checksum"):
        run_here(make_job("next", start=start))


def test_weights_of_another_shape_or_name_are_refused(make_job: MakeJob) -> None:
    source = trained(make_job, lora_rank=4, target_modules=("q_proj",))
    for number, start in enumerate((version(source), checkpoint(source))):
        wider = make_job(f"wider-{number}", start=start, target_modules=("q_proj",))
        with pytest.raises(StartUnusable, match="shape"):
            run_here(wider)
        elsewhere = make_job(f"elsewhere-{number}", start=start, lora_rank=4)
        with pytest.raises(StartUnusable, match="only there or only here"):
            run_here(elsewhere)
        whole = make_job(f"whole-{number}", start=start, training_type=TrainingType.FULL)
        with pytest.raises(StartUnusable):
            run_here(whole)
