"""The rows that a version is tested with, made as its own run made those it was trained on."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from training.config import OnTooLong
from training.data.errors import NAMED_LINES
from training.data.lengths import Fitting, fitting
from training.data.selection import Rows
from training.data.token_cache import RecordFile, count_records, token_rows
from training.data.token_file import TokenTable
from training.errors import NothingToTrain
from training.evaluation.spec import EvaluationSpec, Seen
from training.models.tokenizers import load_tokenizer
from training.preparation import run_renderer
from training.steps.batches import sample
from training.steps.starting import base_source

__all__ = ["Tested", "seen_in_training", "tested"]


class Tested(NamedTuple):
    """What a version is tested with."""

    rows: Rows
    dropped: tuple[int, ...]
    """The lines of records that no loss is measured of."""
    tokenizer: PreTrainedTokenizerBase
    stops: frozenset[int]
    """The tokens that end a turn."""


def tested(spec: EvaluationSpec, folder: Path) -> Tested:
    """The rows of the test records, their tokens kept beside these or else in `folder`.

    What is too long for the run is cut as the run did, and otherwise left out. Raises
    `NothingToTrain` and what `token_rows` raises.
    """
    run, options = spec.run, spec.options
    path = Path(run.dataset_path)
    tokenizer = load_tokenizer(run.model_path)
    renderer = run_renderer(run, tokenizer, base_source(run))
    total = count_records(path)
    places = sample(total, options.max_records, shuffle=True, seed=options.seed)
    records = RecordFile(path, run.data_type, run.dataset_sha256, places)
    cached = token_rows(
        records,
        renderer,
        (path.parent, folder),
        should_stop=lambda: False,
        advanced=lambda _: None,
    )
    assert cached is not None  # noqa: S101 - nobody tells it to stop
    cut = run.config.on_too_long is OnTooLong.TRUNCATE
    found = fitting(
        TokenTable(cached.path),
        places if cached.has_all else None,
        longest=run.config.max_sequence_length,
        on_too_long=OnTooLong.TRUNCATE if cut else OnTooLong.DROP,
    )
    if not found.rows:
        raise NothingToTrain("no test record has a token that bears loss within the run's length")
    return Tested(found.rows, _dropped(found), tokenizer, renderer.stop_token_ids)


def seen_in_training(spec: EvaluationSpec, rows: Rows) -> Seen | None:
    """The tested records that are, equal to the byte, in what was trained on; None if that is gone."""
    if spec.trained_on is None or not Path(spec.trained_on).is_file():
        return None
    wanted = set(rows.lines.tolist())
    known = set(_digests(Path(spec.trained_on)))
    numbered = enumerate(_digests(Path(spec.run.dataset_path)), 1)
    lines = [line for line, digest in numbered if line in wanted and digest in known]
    return Seen(count=len(lines), lines=tuple(lines[:NAMED_LINES]))


def _dropped(found: Fitting) -> tuple[int, ...]:
    return tuple(sorted([*found.too_long.tolist(), *found.without_loss.tolist()]))


def _digests(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield sha256(line).digest()
