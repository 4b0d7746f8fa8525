"""A dataset is tokenised once for whoever renders it alike, whatever happens amid that."""

import errno
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from tests.training.forked import call_forked, left
from tests.training.jobs import qa_rows
from tests.training.killing import Moment, kill_at
from training.config import DataType
from training.data import token_cache
from training.data.records import Record, canonical_line
from training.data.rendering import Renderer
from training.data.rows import Row
from training.data.token_cache import CachedRows, RecordFile, Rendering, token_rows
from training.data.token_file import Integers, TokenTable
from training.errors import DatasetDamaged, DiskFull
from training.files import damage, sha256_of
from training.models.tokenizers import load_tokenizer


class Counting(Renderer):
    """A renderer that counts the records it was given."""

    rendered = 0

    def rows(
        self, records: Sequence[tuple[int, Record]], contents: Sequence[bytes] | None = None
    ) -> list[Row]:
        Counting.rendered += len(records)
        return super().rows(records, contents)


@pytest.fixture(autouse=True)
def _none_yet() -> None:
    Counting.rendered = 0


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    path = folder / "records.jsonl"
    path.write_bytes(b"".join(map(canonical_line, qa_rows(30))))
    return path


def renderer(tokenizer: PreTrainedTokenizerBase, *, stop: str = "<|im_end|>") -> Counting:
    stops = frozenset({tokenizer.convert_tokens_to_ids(stop), tokenizer.eos_token_id})
    return Counting(tokenizer, DataType.QA, stop_token_ids=stops, max_length=64)


def cache(
    path: Path,
    using: Renderer,
    *others: Path,
    places: Integers | None = None,
    sha256: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    advanced: Callable[[Rendering], None] = lambda _state: None,
) -> CachedRows | None:
    records = RecordFile(path, DataType.QA, sha256, places)
    folders = (path.parent, *others)
    return token_rows(records, using, folders, should_stop=should_stop, advanced=advanced)


def cached(path: Path, using: Renderer, *others: Path, **options: object) -> CachedRows:
    found = cache(path, using, *others, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_dataset_is_tokenised_once(tokenizer: PreTrainedTokenizerBase, records: Path) -> None:
    first = cached(records, renderer(tokenizer))
    assert (first.reused, first.damage, Counting.rendered) == (False, None, 30)
    again = cached(records, renderer(tokenizer))
    assert (again.reused, again.path, Counting.rendered) == (True, first.path, 30)
    assert first.path.is_relative_to(records.parent)
    expected = renderer(tokenizer).rows(
        [(line, dict(each)) for line, each in enumerate(qa_rows(30), start=1)]
    )
    table = TokenTable(first.path)
    assert [table.input_ids(i, each.tokens) for i, each in enumerate(expected)] == [
        each.input_ids for each in expected
    ]
    assert [table.labels(i, each.tokens) for i, each in enumerate(expected)] == [
        each.labels for each in expected
    ]
    assert [bytes(each) for each in table.contents()] == [each.content for each in expected]


def test_whoever_renders_otherwise_has_rows_of_their_own(
    tokenizer: PreTrainedTokenizerBase, records: Path, tiny_model: Path
) -> None:
    first = cached(records, renderer(tokenizer))
    changes: list[Callable[[PreTrainedTokenizerBase], object]] = [
        lambda other: setattr(other, "chat_template", f"{other.chat_template} "),
        lambda other: other.add_tokens(["capital"]),
        lambda other: setattr(other, "eos_token", "<|im_start|>"),
    ]
    keys = {first.path.parent.parent.name}
    for change in changes:
        other = load_tokenizer(str(tiny_model))
        change(other)
        keys.add(renderer(other).fingerprint)
    keys.add(renderer(tokenizer, stop="<|endoftext|>").fingerprint)
    assert len(keys) == 5
    assert renderer(tokenizer).fingerprint == renderer(load_tokenizer(str(tiny_model))).fingerprint
    records.write_text(records.read_text() + records.read_text())
    other_data = cached(records, renderer(tokenizer))
    assert not other_data.reused
    assert other_data.path != first.path


def test_a_sample_is_served_by_all_rows_and_else_rendered_alone(
    tokenizer: PreTrainedTokenizerBase, records: Path
) -> None:
    places = np.array([3, 7, 20])
    some = cached(records, renderer(tokenizer), places=places)
    assert (some.has_all, some.reused, Counting.rendered) == (False, False, 3)
    assert TokenTable(some.path).lines.tolist() == [4, 8, 21]
    assert cached(records, renderer(tokenizer), places=places).reused
    whole = cached(records, renderer(tokenizer))
    assert (whole.has_all, whole.reused) == (True, False)
    again = cached(records, renderer(tokenizer), places=places)
    assert (again.path, again.has_all, again.reused) == (whole.path, True, True)


@pytest.mark.parametrize("harm", ["cut", "changed", "no manifest"])
def test_damaged_rows_are_found_and_made_again(
    tokenizer: PreTrainedTokenizerBase, records: Path, harm: str
) -> None:
    first = cached(records, renderer(tokenizer))
    content = first.path.read_bytes()
    if harm == "cut":
        first.path.write_bytes(content[:-100])
    elif harm == "changed":
        first.path.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    else:
        (first.path.parent / "manifest.json").unlink()
    found = cached(records, renderer(tokenizer))
    assert not found.reused
    assert found.damage is not None
    assert found.path.read_bytes() == content
    assert cached(records, renderer(tokenizer))._replace(reused=False, damage=found.damage) == found


def kill_and_render(moment: Moment, count: int, path: Path, model: Path) -> None:
    kill_at(moment, count)
    cache(path, renderer(load_tokenizer(str(model))))


@pytest.mark.parametrize(
    ("moment", "count"), [(Moment.SYNC, 1), (Moment.SYNC, 2), (Moment.NAME, 1)]
)
def test_a_kill_amid_writing_leaves_nothing_that_is_taken_for_rows(
    tokenizer: PreTrainedTokenizerBase,
    records: Path,
    tiny_model: Path,
    moment: Moment,
    count: int,
) -> None:
    child = call_forked(kill_and_render, moment, count, records, tiny_model)
    assert left(child) == -signal.SIGKILL
    (place,) = (records.parent / "tokens").iterdir()
    assert {each.name for each in place.iterdir()} == {"lock", ".rows.partial"}
    found = cached(records, renderer(tokenizer))
    assert (found.reused, found.damage) == (False, None)
    assert damage(found.path.parent) is None
    assert {each.name for each in place.iterdir()} == {"lock", "rows"}


def test_a_stop_leaves_at_once_and_leaves_nothing(
    tokenizer: PreTrainedTokenizerBase, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_BATCH_RECORDS", 4)
    states: list[Rendering] = []
    found = cache(
        records,
        renderer(tokenizer),
        should_stop=lambda: Counting.rendered >= 8,
        advanced=states.append,
    )
    assert found is None
    assert Counting.rendered == 8
    assert [state.records for state in states if state.records] == [4, 8]
    assert 0 < states[-1].share < 0.5
    (place,) = (records.parent / "tokens").iterdir()
    assert {each.name for each in place.iterdir()} == {"lock"}


def test_of_two_at_once_one_renders_and_the_other_waits(
    tokenizer: PreTrainedTokenizerBase, records: Path, tiny_model: Path
) -> None:
    found: list[CachedRows] = []
    other = threading.Thread(
        target=lambda: found.append(cached(records, renderer(load_tokenizer(str(tiny_model)))))
    )

    def begin(state: Rendering) -> None:
        if state.records and not other.is_alive():
            other.start()

    found.append(cached(records, renderer(tokenizer), advanced=begin))
    other.join()
    assert [each.reused for each in found] == [False, True]
    assert found[0].path == found[1].path
    assert Counting.rendered == 30


def test_a_folder_that_takes_nothing_is_passed_over(
    tokenizer: PreTrainedTokenizerBase, records: Path, tmp_path: Path
) -> None:
    (records.parent / "tokens").write_text("a file, where a folder would have to be made")
    job = tmp_path / "job"
    job.mkdir()
    found = cached(records, renderer(tokenizer), job)
    assert found.path.is_relative_to(job)
    assert cached(records, renderer(tokenizer), job).reused


def test_a_full_disk_is_named_and_leaves_nothing(
    tokenizer: PreTrainedTokenizerBase, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, _rows: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(token_cache.TokenWriter, "write", full)
    with pytest.raises(DiskFull, match="rows could not be written"):
        cache(records, renderer(tokenizer))
    assert not list(records.parent.rglob("rows*"))


def test_a_record_that_changed_since_it_was_stored_is_no_training_data(
    tokenizer: PreTrainedTokenizerBase, records: Path
) -> None:
    sha256 = sha256_of(records)
    records.write_text(records.read_text().replace("What is 3", "What is 4"))
    with pytest.raises(DatasetDamaged, match="another checksum"):
        cache(records, renderer(tokenizer), sha256=sha256)
    records.unlink()
    with pytest.raises(DatasetDamaged, match="No such file"):
        cache(records, renderer(tokenizer))


def test_long_records_are_rendered_a_few_at_a_time(
    tokenizer: PreTrainedTokenizerBase, records: Path
) -> None:
    long = {"question": "one two " * 20_000, "answer": "yes"}  # of 160 kB
    records.write_text("".join(json.dumps(each) + "\n" for each in [long, *qa_rows(3), long, long]))
    states: list[Rendering] = []
    cached(records, renderer(tokenizer), advanced=states.append)
    assert [state.records for state in states if state.records] == [1, 4, 5, 6]


def test_tokenising_needs_no_torch(records: Path, tiny_model: Path) -> None:
    script = f"""
import sys
sys.modules["torch"] = None  # how Python notes an absence
from pathlib import Path
from training.config import DataType
from training.data.rendering import Renderer
from training.data.token_cache import RecordFile, token_rows
from training.models.tokenizers import load_tokenizer, declared_stop_ids
tokenizer = load_tokenizer({str(tiny_model)!r})
stops = declared_stop_ids({str(tiny_model)!r}, tokenizer)
found = token_rows(
    RecordFile(Path({str(records)!r}), DataType.QA),
    Renderer(tokenizer, DataType.QA, stop_token_ids=stops, max_length=64),
    (Path({str(records.parent)!r}),),
    should_stop=lambda: False,
    advanced=lambda state: None,
)
heavy = [name for name in ("pandas", "datasets", "peft", "accelerate") if name in sys.modules]
print(found.path, heavy)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    path, _, heavy = told.strip().partition(" ")
    assert heavy == "[]"
    assert damage(Path(path).parent) is None
