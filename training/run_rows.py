"""The rows of a run: found beside its dataset or rendered now, held to a length, and split."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from training.config import JobSpec
from training.data.errors import numbered
from training.data.lengths import Fitting, fitting
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
from training.steps.batches import sample, split
from training.steps.schedule import total_steps

__all__ = ["RunRows", "run_rows"]

_TOLD_SECONDS: Final = 0.4
"""Between two events while records are tokenised."""


class RunRows(NamedTuple):
    """The rows trained on and those held out."""

    training: Rows
    validation: Rows


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
    path = Path(spec.dataset_path)
    records = RecordFile(path, spec.data_type, spec.dataset_sha256, _sampled(spec))
    cached = token_rows(
        records,
        renderer,
        (path.parent, job_dir),
        should_stop=should_stop,
        advanced=_teller(emit),
        decided=world.from_leader,
    )
    if cached is None:
        return None
    found = fitting(
        TokenTable(cached.path),
        records.places if cached.has_all else None,
        longest=spec.config.max_sequence_length,
        on_too_long=spec.config.on_too_long,
    )
    parts = _split(found, spec)
    world.raise_unless_same("rows", _as_bytes(cached, parts))
    emit(_prepared(spec, found, parts, cached))
    for warning in _warnings(spec, found, parts, cached):
        emit(warning)
    return parts


def _sampled(spec: JobSpec) -> Integers | None:
    """The places of the records that the run may use; None for all."""
    config = spec.config
    if config.max_samples is None:
        return None
    total = count_records(Path(spec.dataset_path))
    return sample(total, config.max_samples, shuffle=config.shuffle, seed=config.seed)


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


def _split(found: Fitting, spec: JobSpec) -> RunRows:
    """Each row on its side."""
    config = spec.config
    sides = split(found.rows.contents, config.validation_split, config.seed)
    parts = RunRows(found.rows.chosen(sides.training), found.rows.chosen(sides.validation))
    if not parts.training:
        raise NothingToTrain(_nothing_left(found, config.max_sequence_length))
    if config.early_stopping.enabled and not parts.validation:
        raise NothingToTrain(
            "early stopping needs validation records, and duplicates leave none apart"
        )
    return parts


def _nothing_left(found: Fitting, longest: int) -> str:
    records = len(found.rows) + len(found.too_long) + len(found.without_loss)
    reason = (
        f"of {records} records {len(found.without_loss)} have no token left that bears loss within "
        f"{longest} tokens"
    )
    return reason + (f", and {len(found.too_long)} are longer" if len(found.too_long) else "")


def _as_bytes(cached: CachedRows, parts: RunRows) -> Iterator[bytes]:
    """What is trained on and tested with, to be compared: the checksum of all rows, and which of
    them are taken, up to where."""
    yield (cached.path.parent / MANIFEST).read_bytes()
    for side in parts:
        yield side.indices.tobytes()
        yield side.tokens.tobytes()


def _prepared(spec: JobSpec, found: Fitting, parts: RunRows, cached: CachedRows) -> DataPrepared:
    return DataPrepared(
        training_records=len(parts.training),
        validation_records=len(parts.validation),
        dropped_records=len(found.too_long) + len(found.without_loss),
        truncated_records=len(found.truncated),
        tokens=int(parts.training.tokens.sum()),
        trained_tokens=int(parts.training.trained_tokens.sum()),
        total_steps=total_steps(len(parts.training), spec.config),
        tokens_reused=cached.reused,
    )


def _warnings(
    spec: JobSpec, found: Fitting, parts: RunRows, cached: CachedRows
) -> Iterator[WarningRaised]:
    longest = spec.config.max_sequence_length
    if cached.damage is not None:
        yield WarningRaised(
            code="TOKENS_DAMAGED",
            message=f"The dataset's tokens were damaged and had to be made again: {cached.damage}.",
            remedy="Nothing needs to be done for this run. Check the disk.",
        )
    if len(found.without_loss):
        yield WarningRaised(
            code="RECORDS_DROPPED",
            message=f"{len(found.without_loss)} records have no token that bears loss within "
            f"{longest} tokens and are not trained on: {_lines(found.without_loss)}.",
            remedy="Raise maxSequenceLength, or shorten their prompts.",
        )
    if len(found.too_long):
        yield WarningRaised(
            code="RECORDS_TOO_LONG",
            message=f"{len(found.too_long)} records are longer than {longest} tokens and are not "
            f"trained on: {_lines(found.too_long)}.",
            remedy="Raise maxSequenceLength, or set onTooLong to TRUNCATE to train on their start.",
        )
    if len(found.truncated):
        yield WarningRaised(
            code="RECORDS_TRUNCATED",
            message=f"{len(found.truncated)} records are longer than {longest} tokens and were "
            f"cut at their end: {_lines(found.truncated)}.",
            remedy="Raise maxSequenceLength to train on them whole.",
        )
    if spec.config.validation_split > 0 and not parts.validation:
        yield WarningRaised(
            code="NO_VALIDATION",
            message="No record is held out: there are too few that are not duplicates.",
            remedy="Add records, or remove duplicates.",
        )


def _lines(lines: Integers) -> str:
    return numbered(lines.tolist())
