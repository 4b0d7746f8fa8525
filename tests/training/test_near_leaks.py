"""Records nearly equal on both sides of a run: told by it as they were told before it."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.training.jobs import of_kind, spec_of, write_rows
from training.config import DataType, JobSpec
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep
from training.data.doctor.spec import KEPT
from training.data.records import Record
from training.events import Event, WarningRaised
from training.files import sha256_of
from training.preparation import prepare
from training.preview import leaking
from training.preview.answering import Previewer
from training.preview.findings import leak_findings
from training.preview.questions import LeaksAnswer, RecordsAsked, RowsQuestion, WhyUnknown

MakeJob = Callable[..., Path]


def asked(number: int, *, aloud: bool = False) -> dict[str, str]:
    """A question of random words, of which there are two that are nearly equal."""
    letters = random.Random(number).choices("abcdefghijklmnopqrst  ", k=90)
    text = "".join(letters)
    return {"question": text.upper() if aloud else text, "answer": "Yes."}


ROWS = [*map(asked, range(12)), *(asked(number, aloud=True) for number in range(12))]
LATE = {"question": "a b " * 300, "answer": "Nothing is left of this."}


def kept(rows: Sequence[Record], folder: Path) -> str:
    folder.mkdir()
    keep(examine(DataType.QA, enumerate(rows, 1)), folder)
    return str(folder)


def question_of(spec: JobSpec) -> RowsQuestion:
    def data(path: str, examination: str | None) -> RecordsAsked:
        return RecordsAsked(
            path=path,
            sha256=sha256_of(Path(path)),
            records=len(Path(path).read_bytes().splitlines()),
            examination=examination or "",
        )

    held_out = spec.validation_path
    return RowsQuestion(
        model_path=spec.model_path,
        data_type=DataType.QA,
        data=data(spec.dataset_path, spec.examination_path),
        held_out=data(held_out, spec.validation_examination_path) if held_out else None,
        config=spec.config,
        shown=0,
    )


def told_by_the_run(spec: JobSpec, job: Path) -> tuple[list[int], list[int], list[str]]:
    """The lines of both sides, and what is said of near leaks."""
    told: list[Event] = []
    run = prepare(spec, job, emit=told.append, should_stop=lambda: False)
    assert run is not None
    warnings = of_kind(told, WarningRaised)
    said = [each.message for each in warnings if each.code == "VALIDATION_NEAR_LEAK"]
    return (
        [row.line for row in run.training],
        [row.line for row in run.run.validation],
        said,
    )


def told_before(answer: LeaksAnswer, *, of_dataset: bool) -> list[str]:
    assert answer.leaks is not None
    found = leak_findings(answer.leaks, of_dataset=of_dataset, foreseen=answer.foreseen)
    return [each.message for each in found]


def test_near_leaks_of_a_share_are_told_alike_before_a_run_and_in_it(
    make_job: MakeJob, tmp_path: Path
) -> None:
    rows = [LATE, *ROWS]
    job = make_job(rows=rows, max_sequence_length=120, validation_split=0.25)
    spec = spec_of(job).model_copy(update={"examination_path": kept(rows, tmp_path / "examined")})
    training, validation, (message,) = told_by_the_run(spec, job)
    assert 1 not in training + validation
    partners = {line: (line + 10) % 24 + 2 for line in validation}
    leaked = [line for line in validation if partners[line] in training]
    assert 0 < len(leaked) <= 6
    named = ", ".join(f"{line} (line {partners[line]})" for line in leaked)
    assert message == (
        f"{len(leaked)} records that are held out are nearly equal to records that are trained on: "
        f"lines {named}."
    )

    previewer, question = Previewer(), question_of(spec)
    foreseen = previewer.leaks(question)
    assert foreseen.foreseen  # of one record more, which moves others to the other side
    assert told_before(foreseen, of_dataset=False)[0].startswith("If no record is left out, ")
    assert previewer.rows(question).rows is not None
    assert told_before(previewer.leaks(question), of_dataset=False) == [message]


def test_near_leaks_of_a_dataset_to_test_with_name_lines_of_both(
    make_job: MakeJob, tmp_path: Path
) -> None:
    tested = [asked(30), asked(4, aloud=True), asked(7), asked(9, aloud=True)]
    job = make_job(rows=ROWS[:12], held_out=tested)
    spec = spec_of(job).model_copy(
        update={
            "examination_path": kept(ROWS[:12], tmp_path / "examined"),
            "validation_examination_path": kept(tested, tmp_path / "tested"),
        }
    )
    training, validation, (message,) = told_by_the_run(spec, job)
    assert (8 in training, validation) == (False, [1, 2, 3, 4])
    assert message == (
        "2 records of the validation dataset are nearly equal to records that are trained on: "
        "lines 2 (line 5), 4 (line 10)."
    )
    foreseen = Previewer().leaks(question_of(spec))
    assert told_before(foreseen, of_dataset=True) == [f"If no record is left out, {message}"]


def test_what_is_not_examined_or_takes_too_long_is_not_told(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(rows=ROWS)
    spec = spec_of(job).model_copy(update={"examination_path": str(tmp_path / "examined")})
    assert told_by_the_run(spec, job)[2] == []
    unexamined = Previewer().leaks(question_of(spec))
    assert unexamined == LeaksAnswer(unknown=WhyUnknown.NOT_EXAMINED)
    kept(ROWS, tmp_path / "examined")

    def endless(*_sides: object) -> None:
        while True:
            pass

    monkeypatch.setattr(leaking, "SECONDS", 0.02)
    monkeypatch.setattr(leaking, "find_leaks", endless)
    assert Previewer().leaks(question_of(spec)) == LeaksAnswer(unknown=WhyUnknown.TOO_MANY)
    (tmp_path / "examined" / KEPT).write_bytes(b"no archive")
    assert told_by_the_run(spec, job)[2] == []


def test_of_labelled_records_the_foreseen_sides_are_those_of_the_run(
    make_job: MakeJob, tmp_path: Path
) -> None:
    rows = [each | {"answer": "Yes." if n % 3 else "No."} for n, each in enumerate(ROWS)]
    job = make_job(rows=rows, validation_split=0.25, stratify=True, max_samples=18)
    write_rows(job / "data.jsonl", rows)
    spec = spec_of(job).model_copy(update={"examination_path": kept(rows, tmp_path / "examined")})
    *_, said = told_by_the_run(spec, job)
    foreseen = told_before(Previewer().leaks(question_of(spec)), of_dataset=False)
    assert foreseen == [f"If no record is left out, {message}" for message in said] != []
