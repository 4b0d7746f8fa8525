"""The rows of a run: found beside its datasets or rendered now, held to a length, and divided."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from training.config import JobSpec, Side
from training.data.errors import NAMED_LINES
from training.data.labels import Labels, Unlabelled
from training.data.lengths import Fitting, fitting
from training.data.losses import Affected, Loss, leak, losses, near_leak
from training.data.rendering import Renderer
from training.data.selection import Rows
from training.data.token_cache import (
    CachedRows,
    RecordFile,
    Rendering,
    count_records,
    token_rows,
)
from training.data.token_file import Integers, TokenTable
from training.devices.world import World
from training.errors import NothingToTrain
from training.events import DataPrepared, DataProgress, Event, WarningRaised
from training.files import MANIFEST
from training.near_leaks import near_leaks
from training.steps.sampling import Sampled, labels_of, sampled
from training.steps.schedule import total_steps
from training.steps.sides import Divided, divide, not_stratified

__all__ = ["RunRows", "run_rows"]

_TOLD_SECONDS: Final = 0.4
"""Between two events while records are tokenised."""


class RunRows(NamedTuple):
    """The rows trained on and those held out."""

    training: Rows
    validation: Rows


class _Read(NamedTuple):
    """The rows of one dataset that a run can use."""

    records: RecordFile
    in_file: int
    """Records that the file has."""
    cached: CachedRows
    found: Fitting


def run_rows(
    spec: JobSpec,
    renderer: Renderer,
    job_dir: Path,
    *,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
    world: World,
) -> RunRows | None:
    """The rows of a run, and all that happened to them told; None where told to stop.

    Raises `NothingToTrain`, `RowsTooLong` and what `token_rows` raises.
    """
    read = _Reader(spec, renderer, job_dir, emit, should_stop, world).read
    drawn = _sampled(spec)
    trained = read(_records(spec, drawn))
    if trained is None:
        return None
    tested = None
    if spec.validation_path is not None:
        path = Path(spec.validation_path)
        tested = read(RecordFile(path, spec.data_type, spec.validation_sha256))
        if tested is None:
            return None
    rows = trained.found.rows
    divided = divide(
        rows.contents,
        spec.config,
        held_out=None if tested is None else tested.found.rows.contents,
        find_labels=lambda: labels_of(drawn, trained.records, rows.lines, rows.contents),
    )
    divided = divided._replace(labels=divided.labels or drawn.labels)
    parts = _parts(divided, trained, tested, spec)
    both = [trained] if tested is None else [trained, tested]
    world.raise_unless_same("rows", _as_bytes(both, parts))
    emit(_prepared(spec, both, parts, divided))
    for warning in _warnings(spec, both, parts, divided):
        emit(warning)
    return parts


def _sampled(spec: JobSpec) -> Sampled:
    """The records that the run may train on."""
    if spec.config.max_samples is None:
        return Sampled(None)
    records = _records(spec, Sampled(None))
    return sampled(records, count_records(records.path), spec.config)


def _records(spec: JobSpec, drawn: Sampled) -> RecordFile:
    path = Path(spec.dataset_path)
    return RecordFile(path, spec.data_type, spec.dataset_sha256, drawn.places)


@dataclass(frozen=True)
class _Reader:
    """Reads datasets for a run."""

    spec: JobSpec
    renderer: Renderer
    job_dir: Path
    emit: Callable[[Event], None]
    should_stop: Callable[[], bool]
    world: World

    def read(self, records: RecordFile) -> _Read | None:
        """The rows of a dataset; None where told to stop."""
        cached = token_rows(
            records,
            self.renderer,
            (records.path.parent, self.job_dir),
            should_stop=self.should_stop,
            advanced=_teller(self.emit),
            decided=self.world.from_leader,
        )
        if cached is None:
            return None
        table = TokenTable(cached.path)
        found = fitting(
            table,
            records.places if cached.has_all else None,
            longest=self.spec.config.max_sequence_length,
            on_too_long=self.spec.config.on_too_long,
        )
        in_file = len(table) if cached.has_all else count_records(records.path)
        return _Read(records, in_file, cached, found)


def _teller(emit: Callable[[Event], None]) -> Callable[[Rendering], None]:
    """Tells how tokenising goes, now and then."""
    last = time.monotonic()

    def tell(state: Rendering) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TOLD_SECONDS:
            last = now
            emit(DataProgress(records=state.records, progress=100 * state.share))

    return tell


def _parts(divided: Divided, trained: _Read, tested: _Read | None, spec: JobSpec) -> RunRows:
    """Each row on its side."""
    parts = RunRows(
        trained.found.rows.chosen(divided.sides.training),
        (tested or trained).found.rows.chosen(divided.sides.validation),
    )
    if not parts.training:
        raise NothingToTrain(_nothing_left(trained.found, divided, spec.config.max_sequence_length))
    if spec.config.early_stopping.enabled and not parts.validation:
        reason = "duplicates leave none apart" if tested is None else "none is left"
        raise NothingToTrain(f"early stopping needs validation records, and {reason}")
    return parts


def _nothing_left(found: Fitting, divided: Divided, longest: int) -> str:
    records = len(found.rows) + len(found.too_long) + len(found.without_loss)
    reason = (
        f"of {records} records {len(found.without_loss)} have no token left that bears loss within "
        f"{longest} tokens"
    )
    reason += f", and {len(found.too_long)} are longer" if len(found.too_long) else ""
    leaked = 0 if divided.leaked is None else len(divided.leaked)
    return reason + (f", and {leaked} are in the validation dataset, too" if leaked else "")


def _as_bytes(both: list[_Read], parts: RunRows) -> Iterator[bytes]:
    """What is trained on and tested with, to be compared: the checksum of all rows, and which of
    them are taken, up to where."""
    for each in both:
        yield (each.cached.path.parent / MANIFEST).read_bytes()
    for side in parts:
        yield side.indices.tobytes()
        yield side.tokens.tobytes()


def _prepared(spec: JobSpec, both: list[_Read], parts: RunRows, divided: Divided) -> DataPrepared:
    trained, founds = both[0], [each.found for each in both]
    places = trained.records.places
    return DataPrepared(
        dataset_records=trained.in_file,
        sampled_records=trained.in_file if places is None else len(places),
        training_records=len(parts.training),
        validation_records=len(parts.validation),
        dropped_records=sum(len(each.too_long) + len(each.without_loss) for each in founds),
        truncated_records=sum(len(each.truncated) for each in founds),
        leaked_records=0 if divided.leaked is None else len(divided.leaked),
        tokens=int(parts.training.tokens.sum()),
        trained_tokens=int(parts.training.trained_tokens.sum()),
        total_steps=total_steps(len(parts.training), spec.config),
        stratified_by=divided.labels.field if isinstance(divided.labels, Labels) else None,
        tokens_reused=all(each.cached.reused for each in both),
    )


def _warnings(
    spec: JobSpec, both: list[_Read], parts: RunRows, divided: Divided
) -> Iterator[WarningRaised]:
    names = ("records", "records of the validation dataset")
    for each, name in zip(both, names, strict=False):
        yield from _of_dataset(each, name, spec.config.max_sequence_length)
    if divided.leaked is not None and len(divided.leaked):
        side = spec.config.drop_leaks_from
        rows = both[0 if side is Side.TRAINING else 1].found.rows
        yield _warning(leak(_affected(rows.lines[divided.leaked]), side))
    if near := near_leaks(spec, parts.training.lines, parts.validation.lines):
        yield _warning(near_leak(near, of_dataset=len(both) > 1))
    if isinstance(divided.labels, Unlabelled):
        yield not_stratified(divided.labels)
    asked = len(both) > 1 or spec.config.validation_split > 0
    if asked and not parts.validation:
        yield WarningRaised(
            code="NO_VALIDATION",
            message="No record is held out: there are too few that are not duplicates.",
            remedy="Add records, or remove duplicates.",
        )


def _of_dataset(read: _Read, records: str, longest: int) -> Iterator[WarningRaised]:
    found = read.found
    if read.cached.damage is not None:
        yield WarningRaised(
            code="TOKENS_DAMAGED",
            message="The dataset's tokens were damaged and had to be made again: "
            f"{read.cached.damage}.",
            remedy="Nothing needs to be done for this run. Check the disk.",
        )
    lost = losses(
        records,
        longest,
        without_loss=_affected(found.without_loss),
        too_long=_affected(found.too_long),
        truncated=_affected(found.truncated),
    )
    yield from map(_warning, lost)


def _warning(loss: Loss) -> WarningRaised:
    return WarningRaised(code=loss.code, message=loss.message, remedy=loss.remedy)


def _affected(lines: Integers) -> Affected:
    return Affected(len(lines), lines[:NAMED_LINES].tolist())
