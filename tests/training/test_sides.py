"""What a run trains on and what it tests with: two datasets, leaks, labels, samples."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.training.jobs import of_kind, qa_rows, spec_of
from training.config import Side
from training.errors import NothingToTrain
from training.events import DataPrepared, Event, WarningRaised
from training.preparation import Prepared, prepare

MakeJob = Callable[..., Path]


def prepared(job: Path) -> tuple[Prepared, DataPrepared, list[WarningRaised]]:
    told: list[Event] = []
    found = prepare(spec_of(job), job, emit=told.append, should_stop=lambda: False)
    assert found is not None
    (data,) = of_kind(told, DataPrepared)
    return found, data, of_kind(told, WarningRaised)


def lines(run: Prepared) -> tuple[list[int], list[int]]:
    return [row.line for row in run.training], [row.line for row in run.run.validation]


def test_a_dataset_of_its_own_is_tested_with_whole(make_job: MakeJob) -> None:
    run, data, warnings = prepared(make_job(rows=qa_rows(30)[:8], held_out=qa_rows(30)[20:]))
    assert lines(run) == ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert (data.training_records, data.validation_records) == (8, 10)
    assert (data.leaked_records, data.stratified_by, warnings) == (0, None, [])


SHARED = qa_rows(12)[3:6]


@pytest.mark.parametrize(
    ("side", "training", "validation", "message"),
    [
        (
            Side.TRAINING,
            [1, 2, 3, 7, 8, 9, 10, 11, 12],
            [1, 2, 3, 4, 5],
            "4 records of the dataset are in the validation dataset too, and are not trained on: "
            "lines 4, 5, 6, 13.",
        ),
        (
            Side.VALIDATION,
            [*range(1, 14)],
            [4, 5],
            "3 records of the validation dataset are in the dataset too, and are not tested with: "
            "lines 1, 2, 3.",
        ),
    ],
)
def test_records_on_both_sides_are_left_out_of_one_and_named(
    make_job: MakeJob, side: Side, training: list[int], validation: list[int], message: str
) -> None:
    rows = [*qa_rows(12), SHARED[0]]
    held_out = [*SHARED, *qa_rows(22)[20:]]
    run, data, (warning,) = prepared(make_job(rows=rows, held_out=held_out, drop_leaks_from=side))
    assert lines(run) == (training, validation)
    assert set(run.training.contents.tolist()).isdisjoint(run.run.validation.contents.tolist())
    assert data.leaked_records == len(rows) + len(held_out) - len(training) - len(validation)
    assert (warning.code, warning.message) == ("VALIDATION_LEAK", message)


def test_a_dataset_that_is_tested_with_whole_leaves_nothing_to_train(make_job: MakeJob) -> None:
    job = make_job(rows=qa_rows(4), held_out=qa_rows(6))
    with pytest.raises(NothingToTrain, match="4 are in the validation dataset, too"):
        prepared(job)


@pytest.mark.parametrize("stops", [True, False])
def test_a_validation_dataset_that_is_trained_on_whole_is_told(
    make_job: MakeJob, stops: bool
) -> None:
    job = make_job(
        rows=qa_rows(6),
        held_out=qa_rows(3),
        drop_leaks_from=Side.VALIDATION,
        early_stopping={"enabled": stops},
    )
    if stops:
        with pytest.raises(NothingToTrain, match="early stopping needs validation records"):
            prepared(job)
        return
    run, _, warnings = prepared(job)
    assert [each.code for each in warnings] == ["VALIDATION_LEAK", "NO_VALIDATION"]
    assert lines(run) == ([1, 2, 3, 4, 5, 6], [])


def test_long_records_of_the_validation_dataset_are_told_apart(make_job: MakeJob) -> None:
    long = {"question": "What? " * 60, "answer": "So. " * 60}
    _, data, warnings = prepared(
        make_job(rows=qa_rows(6), held_out=[long, *qa_rows(9)[6:]], max_sequence_length=64)
    )
    assert [each.code for each in warnings] == ["RECORDS_DROPPED"]
    assert warnings[0].message.startswith("1 record of the validation dataset has no token")
    assert (data.dropped_records, data.training_records, data.validation_records) == (1, 6, 3)


def labelled(counts: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    answers = [answer for answer, count in counts for _ in range(count)]
    return [{"question": f"Is {n} even?", "answer": answer} for n, answer in enumerate(answers)]


def test_answers_that_are_labels_are_held_out_in_their_shares(make_job: MakeJob) -> None:
    rows = labelled([("yes", 30), ("no", 15), ("both", 5)])
    run, data, warnings = prepared(make_job(rows=rows, stratify=True, validation_split=0.2))
    _, held_out = lines(run)
    assert Counter(rows[line - 1]["answer"] for line in held_out) == {"yes": 6, "no": 3, "both": 1}
    assert (data.stratified_by, warnings) == ("answer", [])


def test_without_labels_the_split_is_the_usual_one_and_says_so(make_job: MakeJob) -> None:
    rows = labelled([("yes", 10), ("no", 9), ("perhaps", 1)])
    plain, _, _ = prepared(make_job("plain", rows=rows))
    run, data, (warning,) = prepared(make_job("stratified", rows=rows, stratify=True))
    assert lines(run) == lines(plain)
    assert (warning.code, data.stratified_by) == ("NOT_STRATIFIED", None)
    assert "The answer 'perhaps' is that of a single record." in warning.message


def test_a_sample_says_how_many_of_how_many(make_job: MakeJob) -> None:
    run, data, _ = prepared(make_job(rows=qa_rows(20), max_samples=10, held_out=qa_rows(30)[25:]))
    assert (data.dataset_records, data.sampled_records) == (20, 10)
    assert (len(run.training), len(run.run.validation)) == (10, 5)


def test_a_sample_of_labelled_records_is_drawn_and_divided_in_their_shares(
    make_job: MakeJob,
) -> None:
    rows = labelled([("yes", 60), ("no", 30), ("both", 10)])
    choices = {"rows": rows, "stratify": True, "max_samples": 20}
    run, data, warnings = prepared(make_job(validation_split=0.5, **choices))
    taken = [[rows[line - 1]["answer"] for line in side] for side in lines(run)]
    for side in taken:
        assert Counter(side) == {"yes": 6, "no": 3, "both": 1}
    assert (data.sampled_records, data.stratified_by, warnings) == (20, "answer", [])

    tests = labelled([("no idea", 3)])
    beside, data, _ = prepared(make_job("beside", held_out=tests, **choices))
    training, validation = lines(run)
    assert sorted(training + validation) == lines(beside)[0]
    assert (data.validation_records, data.stratified_by) == (3, "answer")


def test_without_labels_a_sample_is_the_usual_one_and_says_so_once(make_job: MakeJob) -> None:
    rows = labelled([("yes", 10), ("no", 9), ("perhaps", 1)])
    plain, _, _ = prepared(make_job("plain", rows=rows, max_samples=10))
    run, _, (warning,) = prepared(make_job("drawn", rows=rows, max_samples=10, stratify=True))
    assert lines(run) == lines(plain)
    assert warning.code == "NOT_STRATIFIED"
