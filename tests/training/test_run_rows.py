"""The rows that a run is given, and what is told of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.jobs import of_kind, qa_rows, spec_of
from training import run_rows as module
from training.config import JobSpec, OnTooLong
from training.data import token_cache
from training.data.errors import RowsTooLong
from training.data.rendering import Renderer
from training.data.rows import TokenRow
from training.devices.world import WORLD_OF_ONE
from training.errors import NothingToTrain
from training.events import DataPrepared, DataProgress, Event, WarningRaised
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.run_rows import RunRows, run_rows

MakeJob = Callable[..., Path]

LONG = [*qa_rows(6), {"question": "x", "answer": "long " * 60}]


def renderer(spec: JobSpec) -> Renderer:
    tokenizer = load_tokenizer(spec.model_path)
    stops = declared_stop_ids(spec.model_path, tokenizer)
    return Renderer(
        tokenizer,
        spec.data_type,
        stop_token_ids=stops,
        max_length=spec.config.max_sequence_length,
    )


def rows_of(job: Path, spec: JobSpec | None = None) -> tuple[RunRows, list[Event]]:
    told: list[Event] = []
    spec = spec or spec_of(job)
    found = run_rows(
        spec,
        renderer(spec),
        job,
        emit=told.append,
        should_stop=lambda: False,
        world=WORLD_OF_ONE,
    )
    assert found is not None
    return found, told


def content(rows: RunRows) -> list[list[tuple[int, list[int], list[int]]]]:
    def of(row: TokenRow) -> tuple[int, list[int], list[int]]:
        return row.line, row.input_ids, row.labels

    return [[of(row) for row in side] for side in rows]


def test_too_long_records_are_left_out_where_that_was_asked_for(make_job: MakeJob) -> None:
    _, told = rows_of(make_job(rows=LONG, max_sequence_length=60, on_too_long=OnTooLong.DROP))
    (warning,) = of_kind(told, WarningRaised)
    assert (warning.code, warning.message) == (
        "RECORDS_TOO_LONG",
        "1 record is longer than 60 tokens and is left out: line 7.",
    )
    (data,) = of_kind(told, DataPrepared)
    assert (data.training_records, data.validation_records) == (5, 1)
    assert (data.dropped_records, data.truncated_records) == (1, 0)


def test_too_long_records_end_a_run_that_was_told_so(make_job: MakeJob) -> None:
    job = make_job(rows=LONG, max_sequence_length=60, on_too_long=OnTooLong.ERROR)
    with pytest.raises(RowsTooLong, match="1 record is longer than 60 tokens: line 7"):
        rows_of(job)


def test_all_that_was_left_out_is_counted_where_nothing_remains(make_job: MakeJob) -> None:
    job = make_job(rows=[LONG[6]], max_sequence_length=60, on_too_long=OnTooLong.DROP)
    with pytest.raises(NothingToTrain, match=r"of 1 records 0 have no token .*, and 1 are longer"):
        rows_of(job)


@pytest.mark.parametrize(
    "choices",
    [
        {"max_sequence_length": 40},
        {"validation_split": 0.4, "seed": 7},
        {"max_samples": 9, "shuffle": False},
        {"max_samples": 9, "on_too_long": OnTooLong.DROP, "max_sequence_length": 40},
    ],
)
def test_another_run_tokenises_nothing_whatever_its_length_split_and_sample(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, choices: dict[str, object]
) -> None:
    first, second, alone = (
        make_job("first"),
        make_job("second", **choices),
        make_job("alone", **choices),
    )
    assert not of_kind(rows_of(first)[1], DataPrepared)[0].tokens_reused
    expected, told_alone = rows_of(alone)

    def refuse(*_arguments: object) -> None:
        raise AssertionError("nothing was to be tokenised")

    monkeypatch.setattr(Renderer, "rows", refuse)
    data = spec_of(first).dataset_path
    found, told = rows_of(second, spec_of(second).model_copy(update={"dataset_path": data}))
    (event,), (own,) = of_kind(told, DataPrepared), of_kind(told_alone, DataPrepared)
    assert (event.tokens_reused, own.tokens_reused) == (True, False)
    same = {"at", "tokens_reused"}
    assert event.model_dump(exclude=same) == own.model_dump(exclude=same)
    assert content(found) == content(expected)


def test_damaged_tokens_are_made_again_and_told(make_job: MakeJob) -> None:
    first, second = make_job("first"), make_job("second")
    expected, _ = rows_of(first)
    shutil.copytree(first / "tokens", second / "tokens")
    (rows,) = (second / "tokens").rglob("rows.arrow")
    rows.write_bytes(rows.read_bytes()[:-1])
    found, told = rows_of(second)
    (warning,) = of_kind(told, WarningRaised)
    assert warning.code == "TOKENS_DAMAGED"
    assert "bytes instead of" in warning.message
    assert content(found) == content(expected)


def test_long_work_on_records_is_told(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "_BATCH_RECORDS", 4)
    monkeypatch.setattr(module, "_TOLD_SECONDS", 0.0)
    _, told = rows_of(make_job())
    progress = of_kind(told, DataProgress)
    assert [event.records for event in progress if event.records] == [4, 8, 12]
    assert progress[-1].progress == 100.0


def test_a_run_that_is_stopped_amid_tokenising_gets_no_rows(make_job: MakeJob) -> None:
    job = make_job()
    told: list[Event] = []
    found = run_rows(
        spec_of(job),
        renderer(spec_of(job)),
        job,
        emit=told.append,
        should_stop=lambda: True,
        world=WORLD_OF_ONE,
    )
    assert (found, told) == (None, [])
