"""Checkpoints that are asked for while a run goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.jobs import of_kind, qa_rows, read_events, run_here
from training.config import TrainingType
from training.events import CheckpointSaved, Outcome, Progress, Resumed
from training.files import damage
from training.progress.heartbeat import Heartbeat
from training.requests import SaveRequests, ask_for_checkpoint
from training.scores import Scores
from training.steps import loop
from training.steps.checkpoints import CheckpointStore

MakeJob = Callable[..., Path]

CHOICES = {"rows": qa_rows(20), "batch_size": 2, "gradient_accumulation_steps": 2, "epochs": 3}


def _ask_in_step(job: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask twice for a checkpoint when a step, counted from 1, is done and not yet saved."""
    measured, asked = Heartbeat.measured, False

    def asking(self: Heartbeat, progress: Progress) -> None:
        nonlocal asked
        if progress.step == step and not asked:
            asked = True
            ask_for_checkpoint(job)
            ask_for_checkpoint(job)
        measured(self, progress)

    monkeypatch.setattr(Heartbeat, "measured", asking)


def _weights(job: Path) -> dict[str, torch.Tensor]:
    (path,) = (job / "model").glob("*.safetensors")
    return load_file(path)


def _difference(first: Path, second: Path) -> float:
    ours, theirs = _weights(first), _weights(second)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_a_request_is_served_at_the_step_boundary_and_changes_nothing(
    make_job: MakeJob, method: TrainingType, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_job("plain", training_type=method, **CHOICES)
    run_here(plain)
    asked = make_job("asked", training_type=method, **CHOICES)
    with monkeypatch.context() as patched:
        _ask_in_step(asked, 6, patched)
        assert run_here(asked).outcome is Outcome.COMPLETED
    assert _difference(plain, asked) == 0.0
    requested = [each for each in of_kind(read_events(asked), CheckpointSaved) if each.requested]
    assert [(each.step, each.score) for each in requested] == [(6, None)]
    kept = CheckpointStore(asked / "checkpoints").all()
    assert [each.step for each in kept if each.requested] == [6]  # two epochs' ends came after it
    assert damage(asked / "checkpoints" / requested[0].name) is None
    assert not SaveRequests(asked).take()


def test_a_run_goes_on_from_a_requested_checkpoint_to_the_very_same_model(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, job = make_job("whole", **CHOICES), make_job("job", **CHOICES)
    run_here(whole)
    with monkeypatch.context() as patched:
        _ask_in_step(job, 6, patched)
        run_here(job)
    store = CheckpointStore(job / "checkpoints")
    for each in store.all():
        if not each.requested:
            store.remove(each.name)
    (job / "events.jsonl").unlink()
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [6]
    assert _difference(whole, job) == 0.0


def test_a_request_made_before_the_run_is_served_after_its_first_step(make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    ask_for_checkpoint(job)
    run_here(job)
    saved = of_kind(read_events(job), CheckpointSaved)
    assert [(each.step, each.requested) for each in saved] == [(1, True), (3, False)]


def test_what_was_asked_for_in_an_epochs_last_step_stays_beside_the_checkpoint_of_its_end(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(batch_size=2, gradient_accumulation_steps=2, epochs=2)
    _ask_in_step(job, 3, monkeypatch)
    run_here(job)
    saved = of_kind(read_events(job), CheckpointSaved)
    assert [(each.name, each.requested, each.score is None) for each in saved] == [
        ("epoch-001-step-000003", True, True),
        ("epoch-001-step-000003-2", False, False),
        ("epoch-002-step-000006", False, False),
    ]
    kept = CheckpointStore(job / "checkpoints").all()
    assert [each.name for each in kept] == [each.name for each in saved]


def test_a_request_is_served_at_an_epochs_end_that_is_not_due(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=3, checkpointing={"enabled": False})
    evaluate, calls = loop.evaluate, 0

    def asking(*args: Any, **options: Any) -> Scores | None:
        nonlocal calls
        calls += 1
        if calls == 2:
            ask_for_checkpoint(job)
        return evaluate(*args, **options)

    monkeypatch.setattr(loop, "evaluate", asking)
    run_here(job)
    saved = of_kind(read_events(job), CheckpointSaved)
    assert [(each.epoch, each.requested) for each in saved] == [(2, True), (3, False)]
    assert saved[0].score is not None


def test_what_was_taken_and_not_served_is_found_again(tmp_path: Path) -> None:
    requests = SaveRequests(tmp_path)
    assert not requests.take()
    ask_for_checkpoint(tmp_path)
    assert requests.take()
    assert SaveRequests(tmp_path).take()  # the process that took it was killed
    ask_for_checkpoint(tmp_path)  # while the former one is being served
    requests.served()
    assert requests.take()
    requests.served()
    assert not requests.take()


def test_the_best_survive_checkpoints_that_have_no_metrics(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(**CHOICES | {"epochs": 4, "checkpointing": {"keep_best": 1}})
    with monkeypatch.context() as patched:
        _ask_in_step(job, 9, patched)
        run_here(job, should_stop=_after_steps(job, 14))
    kept = CheckpointStore(job / "checkpoints").all()
    losses = {each.name: each.score for each in kept if each.score is not None}
    saved = of_kind(read_events(job), CheckpointSaved)
    best = min((each.score, each.name) for each in saved if each.score is not None)
    assert best[1] in losses
    assert [each.step for each in kept if each.requested] == [9]
    assert kept[-1].step >= 14  # the stop's own, the last


def _after_steps(job: Path, steps: int) -> Callable[[], bool]:
    """A stop that is asked for once this many steps were measured."""

    def should_stop() -> bool:
        found = (job / "events.jsonl").read_bytes()
        return any(f'"step":{step},'.encode() in found for step in range(steps, steps + 4))

    return should_stop
