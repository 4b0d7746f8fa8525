"""The training phase: epochs of steps, each validated, judged, saved and told."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from training.config import TrainingConfig
from training.data.rows import TokenRow
from training.devices.limit import halved
from training.devices.token_budget import TokenBudget
from training.devices.world import WORLD_OF_ONE, World
from training.errors import OutOfMemory
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Event,
    Progress,
    StoppedEarly,
    WarningRaised,
)
from training.progress.heartbeat import Heartbeat
from training.progress.pace import Stopwatch
from training.requests import SaveRequests
from training.scores import Scores
from training.steps.checkpoints import Checkpoint, CheckpointStore, checkpoint_name
from training.steps.errors import NonFiniteLoss
from training.steps.evaluation import evaluate
from training.steps.overfitting import began_to_overfit
from training.steps.retention import best, superfluous
from training.steps.salvage import last_good_step_saved
from training.steps.schedule import rows_per_step, steps_per_epoch
from training.steps.shortage import note_held
from training.steps.state import EpochMetrics
from training.steps.stepper import Measurement, Stepper, Watch
from training.steps.time_left import TimeLeft


@dataclass(frozen=True)
class Run:
    """A run that is ready to train, from its start or from a checkpoint."""

    stepper: Stepper
    validation: Sequence[TokenRow]
    training_rows: int
    config: TrainingConfig
    store: CheckpointStore
    emit: Callable[[Event], None]
    should_stop: Callable[[], bool]
    requests: SaveRequests
    token_budget: TokenBudget
    world: World = WORLD_OF_ONE


def train(run: Run, stopwatch: Stopwatch) -> bool:
    """Train to the end; False where it was told to stop, a checkpoint of the last step saved.

    A checkpoint that is asked for meanwhile is saved after the step under way, which changes
    nothing of what follows. Raises what `Stepper.run_epoch` raises, a checkpoint of the last good
    step saved too where there is one, and `DiskFull`.
    """
    with Heartbeat(run.emit) as heartbeat:
        report = _reporter(run, heartbeat, stopwatch)

        def measured(measurement: Measurement) -> None:
            report(measurement)
            is_boundary = measurement.steps == run.stepper.state.step
            if is_boundary and _is_asked(run):
                _save(run, None)
                heartbeat.advanced()

        watch = Watch(measured, run.should_stop, partial(_tell_halved, run))
        while not run.stepper.is_over():
            save = partial(_save_stopped, run)
            with last_good_step_saved(run.stepper, save, emit=run.emit, world=run.world):
                finished = run.stepper.run_epoch(watch)
            if not (finished and _close_epoch(run, heartbeat)):
                _save_stopped(run)
                return False
    return True


def checkpoint_event(
    store: CheckpointStore, checkpoint: Checkpoint, removed: tuple[str, ...] = ()
) -> CheckpointSaved:
    """The announcement of a checkpoint that lies whole on disk."""
    metrics = checkpoint.metrics
    return CheckpointSaved(
        name=checkpoint.name,
        epoch=metrics.epoch if metrics else checkpoint.state.epoch + 1,
        step=checkpoint.step,
        validation_loss=metrics.validation_loss if metrics else None,
        validation_accuracy=metrics.validation_accuracy if metrics else None,
        size_bytes=store.size_of(checkpoint.name),
        best=best(store.all()) == checkpoint.name,
        removed=removed,
        score=checkpoint.score,
        requested=checkpoint.requested,
    )


def _close_epoch(run: Run, heartbeat: Heartbeat) -> bool:
    """Validate, judge and save the epoch whose steps are done; False where stopped amid that."""

    def should_stop() -> bool:
        heartbeat.advanced()  # each look means that some more rows were scored
        return run.should_stop()

    started = time.monotonic()
    validation = None
    if run.validation:
        validation = evaluate(
            run.stepper.engine, run.validation, world=run.world, should_stop=should_stop
        )
        if validation is None:
            return False
        if not math.isfinite(validation.loss_sum):
            state = run.stepper.state
            raise NonFiniteLoss(state.epoch + 1, state.step, validation.loss)
    if run.stepper.state.epoch == 0:
        run.stepper.raise_if_untrained()
    metrics = _completed(run, validation, time.monotonic() - started)
    if run.stepper.state.stopped_early:
        patience = run.stepper.state.patience
        run.emit(StoppedEarly(epoch=metrics.epoch, best_epoch=patience.best_epoch))
    if _is_due(run, metrics) or _is_asked(run):
        _save_at_end(run, metrics)
        heartbeat.advanced()
    return True


def _completed(run: Run, validation: Scores | None, seconds: float) -> EpochMetrics:
    """Move the state past the epoch, and tell its metrics."""
    state = run.stepper.state
    metrics = EpochMetrics(
        epoch=state.epoch + 1,
        training_loss=state.scores.loss,
        training_accuracy=state.scores.accuracy,
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
    )
    policy = run.config.early_stopping
    patience = state.patience.after(metrics.epoch, metrics.score, policy)
    epoch_seconds = state.epoch_seconds + seconds
    run.stepper.state = state.model_copy(
        update={
            "epoch": metrics.epoch,
            "step_in_epoch": 0,
            "scores": Scores(),
            "seconds": state.seconds + epoch_seconds,
            "epoch_seconds": 0.0,
            "closing_seconds": state.closing_seconds + seconds,
            "patience": patience,
            "history": (*state.history, metrics),
            "stopped_early": patience.is_exhausted(policy),
        }
    )
    run.emit(EpochCompleted(**metrics.model_dump(), duration_seconds=epoch_seconds))
    if began_to_overfit(run.stepper.state.history):
        run.emit(_overfitting(metrics))
    return metrics


def _is_due(run: Run, metrics: EpochMetrics) -> bool:
    """Whether an epoch's end is saved: the last always, so that there is something to keep."""
    if run.stepper.is_over():
        return True
    policy = run.config.checkpointing
    is_best = run.stepper.state.patience.best_epoch == metrics.epoch
    on_turn = metrics.epoch % policy.interval == 0
    return policy.enabled and (on_turn or (run.config.early_stopping.enabled and is_best))


def _is_asked(run: Run) -> bool:
    """Whether a checkpoint was asked for; the leader looks, so that all processes do the same."""
    return run.world.any_of(run.world.leads and run.requests.take())


def _save_at_end(run: Run, metrics: EpochMetrics) -> None:
    """Save a closed epoch; the time that takes counts from the next checkpoint on."""
    started = time.monotonic()
    _save(run, metrics)
    seconds = time.monotonic() - started
    state = run.stepper.state
    run.stepper.state = state.model_copy(
        update={
            "seconds": state.seconds + seconds,
            "closing_seconds": state.closing_seconds + seconds,
        }
    )


def _save(run: Run, metrics: EpochMetrics | None) -> None:
    """Save where the run stands, delete what retention no longer keeps, and tell both.

    Whatever the save is for, it serves a request that waits. Tensors are gathered from all
    processes; what is left to do the leader does.
    """
    state, tensors = run.stepper.state, run.stepper.tensors()
    if not run.world.leads:
        return
    checkpoint = Checkpoint(
        name=run.store.free_name(state),
        metrics=metrics,
        state=state,
        requested=run.requests.take(),
    )
    run.store.save(checkpoint, tensors)
    run.requests.served()
    removed = superfluous(run.store.all(), run.config.checkpointing.keep_best)
    for name in removed:
        run.store.remove(name)
    run.emit(checkpoint_event(run.store, checkpoint, tuple(removed)))


def _save_stopped(run: Run) -> None:
    """Save the last step boundary, unless it is saved already. Before the first step there is
    nothing that a new start would not have."""
    state = run.stepper.state
    saved = run.world.from_leader(lambda: {checkpoint.name for checkpoint in run.store.all()})
    if state.step > 0 and checkpoint_name(state) not in saved:
        last = state.history[-1] if state.history and state.step_in_epoch == 0 else None
        _save(run, last)


def _reporter(
    run: Run, heartbeat: Heartbeat, stopwatch: Stopwatch
) -> Callable[[Measurement], None]:
    """Turns measurements into progress."""
    total = run.stepper.total_steps
    epoch_steps = steps_per_epoch(run.training_rows, run.config)
    time_left = TimeLeft(
        start=run.stepper.state,
        started=time.monotonic(),
        total_steps=total,
        epoch_steps=run.training_rows / rows_per_step(run.config),
        validation_share=len(run.validation) / run.training_rows,
    )

    def report(measurement: Measurement) -> None:
        stopwatch.measured(measurement.steps)
        left = time_left.seconds(measurement.steps, run.stepper.state, time.monotonic())
        heartbeat.measured(
            Progress(
                progress=100 * measurement.steps / total,
                epoch=run.stepper.state.epoch + 1,
                total_epochs=math.ceil(total / epoch_steps),
                step=int(measurement.steps),
                total_steps=total,
                loss=measurement.scores.loss,
                accuracy=measurement.scores.accuracy,
                learning_rate=measurement.learning_rate,
                gradient_norm=measurement.gradient_norm,
                tokens_per_second=measurement.tokens_per_second,
                estimated_time_remaining=left,
            )
        )

    return report


def _tell_halved(run: Run, budget: int, error: OutOfMemory) -> None:
    note_held(run.stepper.engine, run.token_budget, run.world)
    run.emit(halved(error.message, budget))


def _overfitting(metrics: EpochMetrics) -> WarningRaised:
    return WarningRaised(
        code="OVERFITTING",
        message=f"Up to epoch {metrics.epoch} the training loss fell to "
        f"{metrics.training_loss:.4f} while the validation loss rose to "
        f"{metrics.validation_loss:.4f}.",
        remedy="Train fewer epochs, turn early stopping on, or add data. The best checkpoint is kept.",
    )
