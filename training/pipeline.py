"""A training run from its spec to its model folder: preparing, training, validating, completed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from peft import PeftModel

from training.config import JobSpec
from training.devices import process
from training.devices.hardware import library_versions
from training.devices.parts import trained_state
from training.devices.ranks import ALONE, Place
from training.devices.world import World, joined
from training.errors import BestCheckpointMismatch, TrainingError
from training.event_log import EventLog
from training.events import (
    Finished,
    Outcome,
    Phase,
    PhaseStarted,
    Resumed,
    Sample,
    SamplesGenerated,
    StartedFrom,
    StoppedEarly,
    TrainingResult,
    WarningRaised,
)
from training.files import size_of, whole_folder
from training.generation import answer
from training.memory.accounting import opened
from training.methods.adapters import save_trained
from training.methods.freezing import laid_over_base, restore_frozen
from training.preparation import Prepared, prepare
from training.progress.pace import Stopwatch
from training.progress.pulse import Pulse
from training.steps.checkpoints import Checkpoint, CheckpointStore
from training.steps.evaluation import evaluate
from training.steps.loop import checkpoint_event, train
from training.steps.retention import best
from training.steps.shortage import held
from training.steps.starting import base_source

SCORE_TOLERANCE: Final = 1e-3
"""How far the best checkpoint may score from its record, relative to it. On the machine that
saved it the two are equal; another machine's kernels may round otherwise."""


def run(
    spec: JobSpec,
    job_dir: Path,
    *,
    log: EventLog,
    should_stop: Callable[[], bool],
    place: Place = ALONE,
) -> Finished:
    """Train as `spec` says, in `job_dir`, going on from what an earlier attempt left there.

    What happens after the start of PREPARING is told to `log`; the end is returned and not told.
    `place` is this process's among those that train together, each of which calls this.
    Raises a `TrainingError` where the run cannot go on.
    """
    with joined(place, job_dir) as world:
        return _run(
            spec,
            job_dir,
            log=log,
            should_stop=lambda: world.any_of(should_stop()),
            world=world,
        )


def _run(
    spec: JobSpec,
    job_dir: Path,
    *,
    log: EventLog,
    should_stop: Callable[[], bool],
    world: World,
) -> Finished:
    pulse = Pulse(job_dir)
    with pulse.while_busy():
        prepared = prepare(spec, job_dir, emit=log.emit, should_stop=should_stop, world=world)
        if prepared is None:
            return Finished(outcome=Outcome.CANCELLED)
        _tell_start(spec, log)
        began = time.monotonic()
        _answer_samples(prepared, "BEFORE", log)
        answering_seconds = time.monotonic() - began
        _resume(prepared, log)
    run = prepared.run
    with held(run.stepper.engine, run.token_budget, run.world):
        with pulse.while_busy():
            account = opened(prepared, answering_seconds=answering_seconds, emit=log.emit)
        with account.settled() as stopwatch:
            return _train_and_save(
                prepared, spec, job_dir, log=log, stopwatch=stopwatch, pulse=pulse
            )


def _train_and_save(
    prepared: Prepared,
    spec: JobSpec,
    job_dir: Path,
    *,
    log: EventLog,
    stopwatch: Stopwatch,
    pulse: Pulse,
) -> Finished:
    """The phases after PREPARING."""
    should_stop = prepared.run.should_stop
    log.emit(PhaseStarted(phase=Phase.TRAINING))
    if should_stop() or not train(prepared.run, stopwatch):
        return Finished(outcome=Outcome.CANCELLED)
    log.emit(PhaseStarted(phase=Phase.VALIDATING))
    chosen = _take_best(prepared, pulse)
    if should_stop():
        return Finished(outcome=Outcome.CANCELLED)
    with pulse.while_busy():
        _answer_samples(prepared, "AFTER", log)
        size_bytes = _save_model(prepared, spec, job_dir / "model")
    result = _result(prepared, chosen, size_bytes=size_bytes)
    return Finished(outcome=Outcome.COMPLETED, result=result)


def public_name(source: str) -> str:
    """A model's name without the place it lies in: a hub id as it is, a folder's last part."""
    return Path(source).name if Path(source).is_dir() else source


def _tell_start(spec: JobSpec, log: EventLog) -> None:
    """Tell, once in the life of a run, whose weights it starts from."""
    if spec.start is not None and not log.has_told_start():
        log.emit(StartedFrom(source=spec.start.kind, name=spec.start.name))


def _resume(prepared: Prepared, log: EventLog) -> None:
    """Stand where the newest whole checkpoint was saved, and tell what a killed attempt saved and
    could not tell."""
    run = prepared.run
    newest = run.world.from_leader(run.store.newest_whole)
    for name, reason in newest.damaged:
        log.emit(
            WarningRaised(
                code="CHECKPOINT_DAMAGED",
                message=f"Checkpoint {name} was deleted: {reason}.",
                remedy="The run goes on from the checkpoint before it. Check the disk.",
            )
        )
    if run.world.leads:
        _announce(run.store, log)
    checkpoint = newest.checkpoint
    if checkpoint is None:
        return
    state = checkpoint.state
    run.stepper.restore(state, run.store.load(checkpoint.name))
    log.emit(Resumed(checkpoint=checkpoint.name, epoch=state.epoch + 1, step=state.step))
    if state.stopped_early and not log.has_said_early_stop():
        log.emit(StoppedEarly(epoch=state.epoch, best_epoch=state.patience.best_epoch))


def _announce(store: CheckpointStore, log: EventLog) -> None:
    """Tell of checkpoints that were saved, or deleted, without a word."""
    announced = log.announced_checkpoints()
    present = store.all()
    gone = tuple(sorted(announced - {checkpoint.name for checkpoint in present}))
    for checkpoint in present:
        if checkpoint.name not in announced:
            log.emit(checkpoint_event(store, checkpoint, removed=gone))
            gone = ()


def _answer_samples(prepared: Prepared, stage: Literal["BEFORE", "AFTER"], log: EventLog) -> None:
    """Answer the sample prompts, once in the life of a run."""
    prompts = prepared.run.config.sample_prompts
    world = prepared.run.world
    if not prompts or world.from_leader(lambda: log.has_sampled(stage)):
        return
    samples = tuple(
        Sample(
            prompt=prompt,
            answer=answer(
                prepared.model,
                prepared.tokenizer,
                prompt,
                hardware=prepared.hardware,
                through=world.through,
            ),
        )
        for prompt in prompts
    )
    log.emit(SamplesGenerated(stage=stage, samples=samples))


def _take_best(prepared: Prepared, pulse: Pulse) -> Checkpoint:
    """Load the best checkpoint and see that it scores what it scored when it was saved.

    Raises `BestCheckpointMismatch`.
    """
    run = prepared.run
    chosen = run.world.from_leader(lambda: _best_whole(run.store))
    name = chosen.name
    process.give_back_freed_memory()  # of the steps; the file of the weights is mapped beside the rest
    run.stepper.engine.weights.restore(run.store.load(name).weights)
    recorded = chosen.metrics.validation_loss if chosen.metrics else None
    scores = evaluate(
        run.stepper.engine, run.validation, world=run.world, should_stop=pulse.never_stop
    )
    if recorded is not None and scores is not None:
        _check_score(name, recorded=recorded, measured=scores.loss)
    return chosen


def _best_whole(store: CheckpointStore) -> Checkpoint:
    by_name = {checkpoint.name: checkpoint for checkpoint in store.all()}
    name = best(list(by_name.values()))
    if name is None or not store.is_whole(name):
        raise TrainingError(
            "BEST_CHECKPOINT_LOST",
            f"The best checkpoint {name or ''} is missing or damaged.",
            "Check the machine's disk, and run the job again.",
        )
    return by_name[name]


def _save_model(prepared: Prepared, spec: JobSpec, model_dir: Path) -> int:
    """Write the trained model, which only the leader does; its size in bytes."""
    model, world = prepared.model, prepared.run.world
    prepared.run.stepper.engine.weights.install()
    state = None
    if world.is_sharded:
        state = trained_state(model, keep=world.leads)
        if world.leads and not isinstance(model, PeftModel):
            whole = laid_over_base(state, base_source(spec))
            whole.generation_config = model.generation_config
            model, state = whole, None
    elif world.leads:
        restore_frozen(model, base_source(spec))
    if world.leads:
        with whole_folder(model_dir) as folder:
            save_trained(
                model,
                prepared.tokenizer,
                base_name=public_name(spec.model_path),
                folder=folder,
                state=state,
            )
    return world.from_leader(lambda: size_of(model_dir))


def _check_score(name: str, *, recorded: float, measured: float) -> None:
    if abs(measured - recorded) > SCORE_TOLERANCE * max(1.0, recorded):
        raise BestCheckpointMismatch(name, recorded, measured)


def _result(prepared: Prepared, chosen: Checkpoint, *, size_bytes: int) -> TrainingResult:
    run = prepared.run
    state = run.stepper.state
    metrics = chosen.metrics
    assert metrics is not None  # noqa: S101 - only checkpoints that close an epoch are judged
    return TrainingResult(
        adapter=run.config.adapts,
        best_epoch=metrics.epoch,
        final_epoch=state.epoch,
        stopped_early=state.stopped_early,
        training_loss=metrics.training_loss,
        training_accuracy=metrics.training_accuracy,
        validation_loss=metrics.validation_loss,
        validation_accuracy=metrics.validation_accuracy,
        training_records=run.training_rows,
        trained_tokens=state.trained_tokens,
        trainable_parameters=sum(
            each.numel() for each in run.stepper.engine.weights.masters.values()
        ),
        duration_seconds=state.seconds,
        size_bytes=size_bytes,
        libraries=library_versions(),
    )
