"""A job as it is seen live: a picture on a terminal, one line an event elsewhere."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.output import duration, memory_estimate, percent, usage
from api.client.events import (
    CheckpointSaved,
    DataPrepared,
    DataProgress,
    EngineChosen,
    EpochCompleted,
    Event,
    JobFinished,
    MemoryEstimated,
    ProgressReported,
    ResourcesUsed,
    Resumed,
    SamplesGenerated,
    StartedFrom,
    StatusChanged,
    StoppedEarly,
    TimeEstimated,
    WarningRaised,
)
from api.client.results import EpochMetrics
from training.wording import counted

__all__ = ["line", "watch"]

SECONDS_BETWEEN_LINES = 5.0

_IN_PASSING = DataProgress | ProgressReported


@dataclass
class Picture:
    """What the events so far tell; drawn anew whenever the terminal is refreshed."""

    started: float = field(default_factory=time.monotonic)
    standing: str = "waiting"
    progress: ProgressReported | None = None
    epochs: list[EpochMetrics] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Add what one event tells."""
        match event:
            case StatusChanged():
                self.standing = event.to.value.lower()
            case DataProgress():
                self.standing = _tokenising(event)
            case ProgressReported():
                self.progress = event
            case EpochCompleted():
                self.epochs = [each for each in self.epochs if each.epoch != event.metrics.epoch]
                self.epochs.append(event.metrics)
            case _:
                pass

    def __rich__(self) -> RenderableType:
        return Group(self._headline(), *self._measurements(), *self.epoch_table())

    def _headline(self) -> Text:
        elapsed = duration(time.monotonic() - self.started)
        return Text.from_markup(f"[bold]{escape(self.standing)}[/] · {elapsed}")

    def _measurements(self) -> Iterator[RenderableType]:
        if self.progress is not None:
            yield ProgressBar(total=100, completed=self.progress.progress, width=60)
            yield Text(_measured(self.progress))

    def epoch_table(self) -> Iterator[RenderableType]:
        """The finished epochs, once there is one."""
        if not self.epochs:
            return
        columns = ("epoch", "loss", "accuracy", "validation loss", "validation accuracy", "time")
        table = Table(*columns, box=None, header_style="dim", pad_edge=False)
        for each in self.epochs:
            table.add_row(
                str(each.epoch),
                f"{each.training_loss:.4f}",
                percent(each.training_accuracy),
                "-" if each.validation_loss is None else f"{each.validation_loss:.4f}",
                percent(each.validation_accuracy),
                duration(each.duration_seconds),
            )
        yield table


async def watch(events: AsyncIterator[Event], console: Console) -> AsyncGenerator[Event, None]:
    """The same events, each shown as it passes.

    On a terminal the newest measurements stand still below and notable events scroll above;
    elsewhere every event is a line, measurements one every few seconds.
    """
    if not console.is_terminal:
        async for event in _lines(events, console):
            yield event
        return
    picture = Picture()
    with Live(picture, console=console, refresh_per_second=4, transient=True) as live:
        async for event in events:
            picture.take(event)
            if not isinstance(event, _IN_PASSING | StatusChanged | EpochCompleted):
                live.console.print(line(event), markup=False, highlight=False)
            yield event
    console.print(*picture.epoch_table())


async def _lines(events: AsyncIterator[Event], console: Console) -> AsyncIterator[Event]:
    shown = -SECONDS_BETWEEN_LINES
    async for event in events:
        now = time.monotonic()
        if not isinstance(event, _IN_PASSING) or now - shown >= SECONDS_BETWEEN_LINES:
            console.print(line(event), markup=False, highlight=False, soft_wrap=True)
            shown = now if isinstance(event, _IN_PASSING) else shown
        yield event


def line(event: Event) -> str:
    """One event in one line."""
    return f"{event.at.astimezone():%H:%M:%S} {_said(event)}"


def _said(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912  # one case an event
    match event:
        case StatusChanged():
            return f"status {event.to.value}" + (f": {event.reason}" if event.reason else "")
        case DataProgress():
            return _tokenising(event)
        case DataPrepared():
            return _prepared(event)
        case StartedFrom():
            return f"starts from {event.source.value.lower()} {event.name}"
        case EngineChosen():
            return _chosen(event)
        case Resumed():
            return f"resumed from {event.checkpoint_name} (epoch {event.epoch}, step {event.step})"
        case MemoryEstimated():
            return f"memory: {memory_estimate(event.memory)}"
        case TimeEstimated():
            return f"time: about {duration(event.seconds)} in all"
        case ResourcesUsed():
            return f"used: {usage(event.usage)}"
        case ProgressReported():
            return _measured(event)
        case EpochCompleted():
            return _epoch(event.metrics)
        case CheckpointSaved():
            notes = ("best so far",) * event.best + ("asked for",) * event.requested
            return f"checkpoint {event.name}" + (f" ({', '.join(notes)})" if notes else "")
        case WarningRaised():
            return f"warning {event.code}: {event.message}" + (
                f" → {event.remedy}" if event.remedy else ""
            )
        case StoppedEarly():
            return f"stopped early after epoch {event.epoch}; the best was {event.best_epoch}"
        case SamplesGenerated():
            return f"{len(event.samples)} sample prompts answered {event.stage} training"
        case JobFinished():
            return _finished(event)


def _tokenising(event: DataProgress) -> str:
    return f"tokenising: {event.records:,} records, {event.progress:.0f} %"


def _prepared(event: DataPrepared) -> str:
    said = (
        f"data: {counted(event.training_records, 'records')} to train, {event.validation_records} held out, "
        f"{event.trained_tokens:,} of {event.tokens:,} tokens trained, {event.total_steps} steps"
    )
    if event.sampled_records != event.dataset_records:
        said += f", {event.sampled_records} of {event.dataset_records} records taken"
    if event.stratified_by:
        said += f", in shares of each {event.stratified_by}"
    if event.leaked_records:
        said += f", {event.leaked_records} on both sides left out"
    if event.truncated_records:
        said += f", {counted(event.truncated_records, 'records')} cut"
    if event.dropped_records:
        said += f", {counted(event.dropped_records, 'records')} dropped"
    if event.tokens_reused:
        said += ", tokenised before"
    return said


def _chosen(event: EngineChosen) -> str:
    said = (
        f"engine: {event.path.value} in {event.precision} on {event.device}, up to "
        f"{event.token_budget:,} tokens at once in {event.lanes} "
        f"lane{'' if event.lanes == 1 else 's'}"
    )
    return said + (f" ({event.reason})" if event.reason else "")


def _measured(event: ProgressReported) -> str:
    return (
        f"{event.progress:.1f}% · epoch {event.epoch}/{event.total_epochs} · "
        f"step {event.step}/{event.total_steps} · loss {event.loss:.4f} · "
        f"accuracy {percent(event.accuracy)} · {event.tokens_per_second:,.0f} tokens/s · "
        f"{duration(event.estimated_time_remaining)} left"
    )


def _epoch(metrics: EpochMetrics) -> str:
    said = (
        f"epoch {metrics.epoch} done in {duration(metrics.duration_seconds)}: "
        f"loss {metrics.training_loss:.4f}, accuracy {percent(metrics.training_accuracy)}"
    )
    if metrics.validation_loss is not None:
        said += (
            f", validation loss {metrics.validation_loss:.4f}, "
            f"accuracy {percent(metrics.validation_accuracy)}"
        )
    return said


def _finished(event: JobFinished) -> str:
    said = f"finished {event.status.value}"
    if event.model_version is not None:
        said += f": version {event.model_version.version} ({event.model_version.id})"
    if event.error is not None:
        said += f": {event.error.code} {event.error.message}"
        said += f" → {event.error.remedy}" if event.error.remedy else ""
    return said
