"""What several processes make of records is what one makes, and none of them outlives its parent."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from tests.training.forked import left
from tests.training.jobs import qa_rows
from training.config import DataType
from training.data import shared_rendering, token_cache
from training.data.records import canonical_line
from training.data.rendering import Renderer
from training.data.rows import IGNORED, Row
from training.data.shared_rendering import Batch, NumberedLines, in_order
from training.data.token_cache import CachedRows, RecordFile, Rendering, token_rows
from training.data.token_file import Columns, columns_of
from training.errors import DatasetDamaged, TrainingError
from training.models.tokenizers import load_tokenizer
from training.progress.stopping import StopRequest
from training.templates.errors import TemplateFailed

PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def _shared_from_the_second_batch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rendering, "_ALONE_BYTES", 1)
    monkeypatch.setattr(token_cache, "_BATCH_RECORDS", 4)
    monkeypatch.setattr(token_cache, "_WRITTEN_TOKENS", 100)


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def stored(folder: Path, lines: list[bytes]) -> RecordFile:
    folder.mkdir()
    path = folder / "records.jsonl"
    path.write_bytes(b"".join(lines))
    return RecordFile(path, DataType.QA)


def rendered(
    records: RecordFile,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    *,
    threads: int,
    stop_after: int | None = None,
) -> tuple[CachedRows | None, list[Rendering]]:
    """The rows, by so many processes, and what was told of them."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    states: list[Rendering] = []
    found = token_rows(
        records,
        Renderer(tokenizer, DataType.QA, frozenset({tokenizer.eos_token_id}), 64),
        (records.path.parent,),
        should_stop=lambda: bool(stop_after and states[-1].records >= stop_after),
        advanced=states.append,
    )
    assert not active_children()
    return found, states


def test_several_processes_write_the_file_that_one_writes(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"question": "one two " * 40_000, "answer": "yes"}  # which is left to this process
    lines = [canonical_line(each) for each in [*qa_rows(30), long, *qa_rows(23), long]]
    pids = tmp_path / "pids"
    render = token_cache._columns

    def noting(records: RecordFile, renderer: Renderer, lines: NumberedLines) -> Columns:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return render(records, renderer, lines)

    monkeypatch.setattr(token_cache, "_columns", noting)
    one = stored(tmp_path / "one", lines)
    alone, told = rendered(one, tokenizer, monkeypatch, threads=1)
    assert set(pids.read_text().split()) == {str(os.getpid())}
    several = stored(tmp_path / "several", lines)
    shared, told_alike = rendered(several, tokenizer, monkeypatch, threads=2)
    assert len(set(pids.read_text().split())) > 1
    assert alone is not None
    assert shared is not None
    assert shared.path.read_bytes() == alone.path.read_bytes()
    assert told_alike == told
    assert told[-1] == Rendering(55, 1.0)


def test_of_a_sample_too_they_write_the_same(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_LINES_A_LOOK", 5)
    lines = [canonical_line(each) for each in qa_rows(60)]
    places = np.array([2, 3, 17, 18, 19, 20, 21, 40, 55])
    found = []
    for threads in (1, 3):
        records = stored(tmp_path / str(threads), lines)
        sample = RecordFile(records.path, DataType.QA, places=places)
        rows, told = rendered(sample, tokenizer, monkeypatch, threads=threads)
        assert rows is not None
        found.append((rows.path.read_bytes(), told))
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [b'{"question": "?", "answer": 5}\n', b"{\n"])
def test_a_damaged_record_is_named_by_its_line(
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bad: bytes,
) -> None:
    lines = [canonical_line(each) for each in qa_rows(40)]
    lines[26] = lines[33] = bad
    assert_refused(lines, DatasetDamaged, "line 27", tokenizer, tmp_path, monkeypatch)


def test_a_record_that_the_template_refuses_is_named_by_its_line(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = (
        "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('Not no') }}"
        "{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    monkeypatch.setattr(tokenizer, "chat_template", refusing)
    lines = [canonical_line(each) for each in qa_rows(40)]
    lines[21] = lines[35] = canonical_line({"question": "no", "answer": "yes"})
    assert_refused(lines, TemplateFailed, "record 22", tokenizer, tmp_path, monkeypatch)


def assert_refused(
    lines: list[bytes],
    kind: type[TrainingError],
    words: str,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By one process and by several, alike and without a file."""
    said = []
    for threads in (1, 2):
        records = stored(folder / str(threads), lines)
        with pytest.raises(kind, match=words) as refused:
            rendered(records, tokenizer, monkeypatch, threads=threads)
        said.append(str(refused.value))
        assert not active_children()
        assert not list(records.path.parent.rglob("*rows*"))
    assert said[0] == said[1]


def test_a_stop_ends_them_all(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = stored(tmp_path / "dataset", [canonical_line(each) for each in qa_rows(60)])
    found, told = rendered(records, tokenizer, monkeypatch, threads=2, stop_after=12)
    assert found is None
    assert [each.records for each in told] == [0, 4, 8, 12]
    assert not list(records.path.parent.rglob("*rows*"))


def batches(count: int) -> Iterator[Batch]:
    """Of a record each."""
    return (Batch([(line, b"%d" % line)], 1, line) for line in range(1, count + 1))


def one_row(lines: NumberedLines) -> Columns:
    return columns_of([Row(line, [line, 7], [IGNORED, 7], bytes(32)) for line, _ in lines])


def killed_at_nine(lines: NumberedLines) -> Columns:
    if parent_process() is not None and lines[0][0] == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return one_row(lines)


def test_without_a_process_that_was_lost_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    StopRequest().on_signals()  # the others must not take as a request what is to end them
    try:
        made = list(in_order(batches(40), killed_at_nine, processes=2))
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert [columns.lines.tolist() for _, columns in made] == [[line] for line in range(1, 41)]
    assert not active_children()
    assert "was lost" in caplog.text


def test_where_no_fork_is_allowed_one_process_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    made = list(in_order(batches(20), one_row, processes=2))
    assert [columns.lines.tolist() for _, columns in made] == [[line] for line in range(1, 21)]


def work_for_ever(folder: Path) -> None:
    """What a child does whose others never come to an end."""
    shared_rendering._ALONE_BYTES = 1

    def endless(lines: NumberedLines) -> Columns:
        if lines[0][0] > 1:
            (folder / str(os.getpid())).touch()
            while True:
                pass
        return one_row(lines)

    list(in_order(batches(9), endless, processes=2))


def test_they_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = get_context("fork").Process(target=work_for_ever, args=(tmp_path,))
    parent.start()
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    assert left(parent) == -signal.SIGKILL
    pids = [int(each.name) for each in tmp_path.iterdir()]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
