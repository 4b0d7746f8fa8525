"""Datasets derived from others, as the child makes them: beside a plain filter over the parent's records."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.files import jsonl
from training.config import DataType
from training.data.derivation import Cause, Changes, LineRange, Removal, RemovalPlan
from training.data.doctor.checks import Code, Strategy
from training.data.doctor.errors import RecordsRefused
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep
from training.data.doctor.marks import codes_of
from training.data.doctor.spec import KEPT
from training.data.ingest.errors import DatasetGone, NothingChanged, NothingLeft, RecordOutdated
from training.data.ingest.found import EXAMINING_PERCENT
from training.data.ingest.mapping import CANONICAL
from training.data.ingest.run import ingest
from training.data.ingest.spec import (
    DerivedSource,
    FileSource,
    IngestResult,
    IngestSpec,
    LinesSource,
    OnInvalid,
)
from training.data.records import canonical_line
from training.errors import DatasetDamaged, SourceUnreadable, TrainingError
from training.progress import telling

QA = [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}."} for n in range(20)]
ASKED = ["Who?", "Where is ada@example.org?", "e\u0301", "a\x07", "Why is the sky so blue today?"]
RECORDS = st.fixed_dictionaries(
    {
        "question": st.sampled_from(ASKED),
        "answer": st.sampled_from([*ASKED, "Why is the sky so blue today, then?"]),
    }
)
DROPPED = (
    Code.NOT_NFC,
    Code.CONTROL_CHARACTERS,
    Code.ANSWER_REPEATS_PROMPT,
    Code.DUPLICATE,
    Code.NEAR_DUPLICATE,
    Code.CONFLICTING_ANSWERS,
    Code.EMAIL_ADDRESS,
)

Records = list[dict[str, str]]


def parent_of(folder: Path, records: Iterable[object]) -> Path:
    """A dataset's folder with canonical records."""
    parent = folder / "parent"
    parent.mkdir(exist_ok=True)
    lines = [canonical_line(each) for each in records if isinstance(each, dict)]
    (parent / "records.jsonl").write_bytes(b"".join(lines))
    return parent


def derived(
    folder: Path,
    records: Records,
    *,
    added: object = None,
    on_invalid: str = "ERROR",
    damage: str | None = None,
    **plan: Any,
) -> IngestResult:
    """What comes of these records, once they were written down, and maybe damaged."""
    parent, made = parent_of(folder, records), folder / "made"
    if damage is not None:
        broken(parent, damage)
    made.mkdir(exist_ok=True)
    for old in made.iterdir():
        old.unlink()
    source = DerivedSource(
        path=str(parent / "records.jsonl"),
        record_count=len(records),
        examination=str(folder / "examination"),
        removal=RemovalPlan(**plan),
        added=added,
    )
    spec = IngestSpec(
        source=source,
        data_type=DataType.QA,
        mapping=CANONICAL[DataType.QA] if isinstance(added, LinesSource) else None,
        on_invalid=OnInvalid(on_invalid),
    )
    return ingest(spec, made)


def broken(parent: Path, how: str) -> None:
    records = parent / "records.jsonl"
    if how == "gone":
        records.unlink()
    elif how == "short":
        records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:-1]))
    else:
        records.write_bytes(records.read_bytes().replace(b'"answer": "It is 8."', how.encode()))


def written(folder: Path) -> list[object]:
    content = (folder / "made" / "records.jsonl").read_bytes()
    return [json.loads(line) for line in content.splitlines()]


def sent_along(folder: Path, *rows: object) -> LinesSource:
    (folder / "added.jsonl").write_bytes(jsonl(*rows))
    return LinesSource(path=str(folder / "added.jsonl"))


def filtered(
    records: Records, ranges: list[LineRange], codes: list[Code], duplicates: bool
) -> tuple[Records, dict[tuple[Cause, Code | None], list[int]]]:
    """What a filter in a few lines keeps, and the lines that it leaves out by their reasons."""
    marks = examine(DataType.QA, enumerate(records, 1)).marks
    kept: Records = []
    gone: dict[tuple[Cause, Code | None], list[int]] = {}
    seen: set[str] = set()
    for line, record in enumerate(records, 1):
        found = [code for code in codes_of(int(marks.bits[line - 1])) if code in codes]
        key = json.dumps(record, sort_keys=True)
        if any(first <= line <= last for first, last in ranges):
            gone.setdefault((Cause.LINES, None), []).append(line)
        elif found:
            gone.setdefault((Cause.FINDING, found[0]), []).append(line)
        elif duplicates and key in seen:
            gone.setdefault((Cause.DUPLICATE, None), []).append(line)
        else:
            seen.add(key)
            kept.append(record)
    return kept, gone


def test_a_derived_file_is_what_a_plain_filter_gives(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("derived")

    @settings(max_examples=40, deadline=None)  # each of them is written and synced
    @given(
        records=st.lists(RECORDS, min_size=1, max_size=12),
        named=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=2),
        codes=st.lists(st.sampled_from(DROPPED), unique=True),
        duplicates=st.booleans(),
        new=st.lists(RECORDS, max_size=2),
        examined=st.booleans(),
    )
    def as_filtered(
        records: Records,
        named: list[tuple[int, int]],
        codes: list[Code],
        duplicates: bool,
        new: Records,
        examined: bool,
    ) -> None:
        ranges = [LineRange(first, first + more) for first, more in named]
        ranges = [each for each in ranges if each.last <= len(records)]
        (folder / "examination").mkdir(exist_ok=True)
        (folder / "examination" / KEPT).unlink(missing_ok=True)
        if examined:
            keep(examine(DataType.QA, enumerate(records, 1)), folder / "examination")
        kept, gone = filtered(records, ranges, codes, duplicates)
        wanted = {
            "lines": tuple(ranges),
            "strategies": dict.fromkeys(codes, Strategy.DROP),
            "duplicates": duplicates,
            "added": sent_along(folder, *new) if new else None,
        }
        if not new and len(kept) in (0, len(records)):
            with pytest.raises(NothingLeft if not kept else NothingChanged):
                derived(folder, records, **wanted)
            return
        found = derived(folder, records, **wanted)
        assert written(folder) == [*kept, *new]
        assert found.changes is not None
        told = {(each.cause, each.finding): list(each.lines) for each in found.changes.removals}
        assert told == gone
        assert [each.count for each in found.changes.removals] == list(map(len, told.values()))
        assert found.changes.removed == len(records) - len(kept)
        assert (found.changes.added, found.statistics.records) == (len(new), len(kept) + len(new))

    as_filtered()


def test_reasons_are_told_in_the_order_in_which_they_count(tmp_path: Path) -> None:
    said = {"question": "Who knows?", "answer": "Ask ada@example.org."}
    records = [*QA, QA[0], said, QA[1], said]
    found = derived(
        tmp_path,
        records,
        lines=(LineRange(21, 22),),
        strategies={Code.EMAIL_ADDRESS: Strategy.DROP},
        duplicates=True,
    )
    assert written(tmp_path) == QA
    assert found.changes == Changes(
        added=0,
        removed=4,
        removals=(
            Removal(cause=Cause.LINES, count=2, lines=(21, 22)),
            Removal(cause=Cause.FINDING, finding=Code.EMAIL_ADDRESS, count=1, lines=(24,)),
            Removal(cause=Cause.DUPLICATE, count=1, lines=(23,)),
        ),
        removed_lines=((21, 24),),
        removed_lines_complete=True,
    )


def test_what_is_an_error_is_named_with_its_lines_and_leaves_no_records(tmp_path: Path) -> None:
    said = {"question": "Who knows?", "answer": "Ask ada@example.org."}
    chosen = {Code.EMAIL_ADDRESS: Strategy.ERROR, Code.NOT_NFC: Strategy.ERROR}
    with pytest.raises(RecordsRefused) as refused:
        derived(tmp_path, [said, *QA, said], strategies=chosen, added=sent_along(tmp_path, QA[0]))
    assert refused.value.message == (
        "Records with an e-mail address (EMAIL_ADDRESS): 2, on lines 1, 22."
    )
    assert list((tmp_path / "made").iterdir()) == []
    found = derived(tmp_path, [said, *QA], lines=(LineRange(1, 1),), strategies=chosen)
    assert found.changes is not None  # what was removed by its line is no error any more
    assert (written(tmp_path), found.changes.removed) == (QA, 1)


def test_a_file_of_any_format_is_added_as_the_parents_type(tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("frage,question,answer\nx,Who?,You.\ny,When?,\n")
    source = FileSource(path=str(file), name="more.csv")
    found = derived(tmp_path, QA, added=source, on_invalid="DROP", lines=(LineRange(1, 19),))
    assert written(tmp_path) == [QA[19], {"question": "Who?", "answer": "You."}]
    assert (found.container, found.rejected_count, found.left_out) == ("CSV", 1, {"frage": 2})
    assert found.changes is not None
    assert (found.changes.added, found.changes.removed) == (1, 19)
    file.write_text("text\nIt rains.\n")
    with pytest.raises(SourceUnreadable) as refused:
        derived(tmp_path, QA, added=source)
    assert refused.value.code == "DATA_TYPE_DIFFERS"


def test_records_of_which_none_can_be_added_change_nothing(tmp_path: Path) -> None:
    bad = sent_along(tmp_path, {"question": "Who?"})
    found = derived(tmp_path, QA, added=bad, on_invalid="DROP")
    assert found.refused is not None
    assert (found.refused.code, found.rejected_count, found.changes) == ("NOTHING_CHANGED", 1, None)
    assert [each.name for each in (tmp_path / "made").iterdir()] == ["rejected.jsonl"]
    refused = derived(tmp_path, QA, added=bad, lines=(LineRange(1, 1),)).refused
    assert refused is not None
    assert refused.message.startswith("1 of 20 records are invalid. Line 1: ")


@pytest.mark.parametrize(
    ("how", "error", "told"),
    [
        ("gone", DatasetGone, "is not there any more"),
        ("short", DatasetDamaged, "it has 19 lines instead of 20"),
        ('"a": 1', RecordOutdated, "The record on line 5 of the dataset is no longer valid"),
        ("{", DatasetDamaged, "line 5 is no JSON"),
    ],
)
@pytest.mark.parametrize("duplicates", [False, True])
def test_a_parent_that_is_not_what_it_was_is_no_parent(
    tmp_path: Path,
    how: str,
    error: type[TrainingError],
    told: str,
    duplicates: bool,
) -> None:
    with pytest.raises(error, match=told):
        derived(tmp_path, QA, damage=how, lines=(LineRange(1, 1),), duplicates=duplicates)
    assert list((tmp_path / "made").iterdir()) == []


def test_what_cannot_be_read_of_an_examination_is_looked_for_again(tmp_path: Path) -> None:
    (tmp_path / "examination").mkdir()
    (tmp_path / "examination" / KEPT).write_bytes(b"PK\x03\x04")
    said = {"question": "Who knows?", "answer": "Ask ada@example.org."}
    derived(tmp_path, [*QA, said], strategies={Code.EMAIL_ADDRESS: Strategy.DROP})
    assert written(tmp_path) == QA


def test_progress_tells_of_looking_and_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(telling, "LOOK_ROWS", 1)
    told: list[float] = []
    tell = telling.Teller.tell

    def noted(teller: telling.Teller, percent: float) -> None:
        told.append(percent)
        tell(teller, percent)

    monkeypatch.setattr(telling.Teller, "tell", noted)
    derived(
        tmp_path,
        QA,
        strategies={Code.NOT_NFC: Strategy.DROP},
        added=sent_along(tmp_path, *QA),
    )
    assert told == sorted(told)
    assert len(told) == 3 * len(
        QA
    )  # each was looked at and written, and each of the others written
    assert told[len(QA) - 1] == EXAMINING_PERCENT
    assert told[-1] == 100.0
