"""What is written as rows is read as rows, however they are cut."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from training.config import OnTooLong
from training.data.errors import RowsTooLong
from training.data.lengths import fitting
from training.data.rows import IGNORED, Row
from training.data.selection import Rows, lengths_of
from training.data.token_file import TokenTable, columns_of, token_writer

TOKENS = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), max_size=12)


def row(line: int, tokens: list[tuple[int, bool]]) -> Row:
    ids = [token for token, _ in tokens]
    labels = [token if trained else IGNORED for token, trained in tokens]
    return Row(line, ids, labels, line.to_bytes(32))


def written(path: Path, *batches: list[Row]) -> TokenTable:
    with token_writer(path) as writer:
        for batch in batches:
            writer.write([columns_of(batch)])
    return TokenTable(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows.arrow"


@given(
    batches=st.lists(st.lists(TOKENS, min_size=1, max_size=5), max_size=4),
    longest=st.integers(1, 14),
)
def test_rows_are_read_as_they_were_written_up_to_any_length(
    path: Path, batches: list[list[list[tuple[int, bool]]]], longest: int
) -> None:
    lines = iter(range(1, 100))
    rows = [[row(next(lines), tokens) for tokens in batch] for batch in batches]
    table = written(path, *rows)
    flat = [each for batch in rows for each in batch]
    cut = [
        each._replace(input_ids=each.input_ids[:longest], labels=each.labels[:longest])
        for each in flat
    ]
    assert table.lines.tolist() == [each.line for each in flat]
    assert table.tokens.tolist() == [each.tokens for each in flat]
    assert table.trained_tokens(longest).tolist() == [each.trained_tokens for each in cut]
    assert [bytes(each) for each in table.contents()] == [each.content for each in flat]
    found = fitting(table, None, longest=longest, on_too_long=OnTooLong.TRUNCATE)
    kept = [each for each in cut if each.trained_tokens]
    assert [
        (each.line, each.input_ids, each.labels, each.tokens, each.trained_tokens)
        for each in found.rows
    ] == [
        (each.line, each.input_ids, each.labels, each.tokens, each.trained_tokens) for each in kept
    ]
    assert lengths_of(found.rows).tolist() == lengths_of(kept).tolist()


SOME = [
    row(1, [(1, False), (2, True)]),
    row(2, [(1, False), (2, True), (3, True), (4, True)]),
    row(3, [(1, False), (2, False), (3, False), (4, True)]),
    row(4, [(1, False), (2, False)]),
]


def test_longer_rows_are_cut_left_out_or_an_error(tmp_path: Path) -> None:
    table = written(tmp_path / "rows", SOME[:3], SOME[3:])
    cut = fitting(table, None, longest=3, on_too_long=OnTooLong.TRUNCATE)
    assert [each.line for each in cut.rows] == [1, 2]
    assert cut.rows.tokens.tolist() == [2, 3]
    assert cut.rows.trained_tokens.tolist() == [1, 2]
    assert [lines.tolist() for lines in cut[1:]] == [[2], [], [3, 4]]
    dropped = fitting(table, None, longest=3, on_too_long=OnTooLong.DROP)
    assert [each.line for each in dropped.rows] == [1]
    assert [lines.tolist() for lines in dropped[1:]] == [[], [2, 3], [4]]
    with pytest.raises(RowsTooLong, match="2 records are longer than 3 tokens: lines 2, 3"):
        fitting(table, None, longest=3, on_too_long=OnTooLong.ERROR)
    whole = fitting(table, None, longest=4, on_too_long=OnTooLong.ERROR)
    assert [each.line for each in whole.rows] == [1, 2, 3]


def test_an_error_counts_only_rows_that_were_chosen(tmp_path: Path) -> None:
    table = written(tmp_path / "rows", SOME)
    chosen = fitting(table, np.array([3, 0]), longest=3, on_too_long=OnTooLong.ERROR)
    assert [each.line for each in chosen.rows] == [1]
    assert chosen.without_loss.tolist() == [4]


def test_rows_can_be_chosen_and_sliced(tmp_path: Path) -> None:
    rows = fitting(
        written(tmp_path / "rows", SOME[:2], SOME[2:]), None, longest=4, on_too_long=OnTooLong.DROP
    ).rows
    assert [each.line for each in rows.chosen(np.array([2, 0]))] == [3, 1]
    head = rows[:2]
    assert isinstance(head, Rows)
    assert [each.line for each in head] == [1, 2]
    assert rows[-1].line == 3


def test_the_file_is_one_of_datasets(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    written(path, SOME[:2], SOME[2:])
    found = Dataset.from_file(str(path))
    assert found.num_rows == 4
    assert found[1] == {
        "line": 2,
        "input_ids": [1, 2, 3, 4],
        "trained_spans": [1, 4],
        "content": (2).to_bytes(32),
        "tokens": 4,
        "trained_tokens": 3,
    }
