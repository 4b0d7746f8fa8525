"""A dataset looked at in tokens: what its child answers, and what it leaves to the runs that follow."""

import json
import random
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from training.config import DataType, TrainOn
from training.data.doctor.checks import Code
from training.data.doctor.kept import kept_marks
from training.data.doctor.marks import patterns
from training.data.doctor.report import TokenReport
from training.data.doctor.rows import RowDoctor
from training.data.doctor.spec import TokenExaminationSpec
from training.data.doctor.token_examination import examine_tokens, renderer_of
from training.data.records import Record, canonical_line
from training.data.token_cache import RecordFile, stored_rows
from training.errors import StopTokenNotTrained
from training.files import sha256_of

QA: list[Record] = [{"question": f"What is {n} and {n}?", "answer": f"{2 * n}."} for n in range(9)]
LONG: Record = {"question": "Why?", "answer": "Because " * 60}
LATE: Record = {"question": "Why is it so? " * 60, "answer": "So."}
HOSTILE: Record = {"question": "Say <|im_end|>", "answer": "No."}


@pytest.fixture
def asked(tiny_model: Path, tmp_path: Path) -> Callable[..., TokenExaminationSpec]:
    def spec(*records: Record, **changes: object) -> TokenExaminationSpec:
        path = tmp_path / "dataset" / "records.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(map(canonical_line, records)))
        given = {
            "path": str(path),
            "data_type": DataType.QA,
            "sha256": sha256_of(path),
            "model_path": str(tiny_model),
            "chat_template": None,
            "train_on": TrainOn.ASSISTANT,
            "max_sequence_length": 64,
        }
        return TokenExaminationSpec.model_validate(given | changes)

    return spec


def looked_at(
    spec: TokenExaminationSpec, scratch: Path, told: Callable[[float], None] = lambda _: None
) -> TokenReport:
    return examine_tokens(spec, renderer_of(spec), scratch, advanced=told)


def test_rows_are_found_out_once_rendered_and_again_once_they_are_kept(
    asked: Callable[..., TokenExaminationSpec], tmp_path: Path
) -> None:
    spec = asked(*QA, LONG, LATE, HOSTILE)
    renderer = renderer_of(spec)
    records = RecordFile(Path(spec.path), spec.data_type)
    assert stored_rows(records, renderer, sha256=spec.sha256) is None
    told: list[float] = []
    first = looked_at(spec, tmp_path, told.append)
    assert [(each.code, each.count, each.lines) for each in first.findings] == [
        (Code.TOO_LONG, 2, (10, 11)),
        (Code.ANSWER_CUT, 1, (10,)),
        (Code.NO_TRAINED_TOKEN_LEFT, 1, (11,)),
        (Code.CONTENT_AS_CONTROL_TOKENS, 1, (12,)),
    ]
    assert [(each.codes, each.count, each.lines) for each in first.patterns] == [
        ((), 9, (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        ((Code.TOO_LONG, Code.ANSWER_CUT), 1, (10,)),
        ((Code.TOO_LONG, Code.NO_TRAINED_TOKEN_LEFT), 1, (11,)),
        ((Code.CONTENT_AS_CONTROL_TOKENS,), 1, (12,)),
    ]
    assert patterns(kept_marks(tmp_path)) == first.patterns
    assert first.stop_tokens == ("<|im_end|>",)
    rows = [renderer.row(line, record) for line, record in enumerate([*QA, LONG, LATE, HOSTILE], 1)]
    assert first.statistics.rows == 12
    assert first.statistics.tokens == sum(row.tokens for row in rows)
    assert first.statistics.trained_tokens == sum(row.trained_tokens for row in rows)
    assert (told[-1], told) == (100.0, sorted(told))

    kept = stored_rows(records, renderer, sha256=spec.sha256)
    assert kept is not None
    stamp = kept.path.stat().st_mtime_ns
    longer = looked_at(spec.model_copy(update={"max_sequence_length": 4096}), tmp_path)
    assert [each.code for each in longer.findings] == [Code.CONTENT_AS_CONTROL_TOKENS]
    assert kept.path.stat().st_mtime_ns == stamp
    assert not (tmp_path / "tokens").exists()


def test_what_would_end_a_run_ends_the_look_and_names_the_record(
    asked: Callable[..., TokenExaminationSpec], tmp_path: Path
) -> None:
    endless = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
        "{% if 'What' in messages[0]['content'] %}<|im_end|>{% endif %}\n{% endfor %}"
    )
    spec = asked(*QA, LONG, chat_template=endless)
    with pytest.raises(StopTokenNotTrained) as raised:
        looked_at(spec, tmp_path)
    assert "record 10" in raised.value.message


def test_a_dataset_that_is_gone_leaves_nothing_in_its_place(
    asked: Callable[..., TokenExaminationSpec], tmp_path: Path
) -> None:
    spec = asked(*QA)
    renderer = renderer_of(spec)
    Path(spec.path).parent.rename(tmp_path / "removed")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(FileNotFoundError):
        examine_tokens(spec, renderer, scratch, advanced=lambda _: None)
    assert not Path(spec.path).parent.exists()


CHILD = """
import re, sys
from pathlib import Path
from training.data.doctor.token_run import main
assert main([sys.argv[1]]) == 0
assert sys.modules["torch"] is None
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


def held_bytes(spec: TokenExaminationSpec, count: int) -> int:
    """By what looks at rows, at its peak."""
    renderer = renderer_of(spec)
    doctor = RowDoctor(
        renderer.tokenizer,
        spec.data_type,
        stop_token_ids=renderer.stop_token_ids,
        max_length=spec.max_sequence_length,
    )
    row = renderer.row(1, QA[0])
    tracemalloc.start()
    try:
        for line in range(1, count + 1):
            doctor.look(QA[0], row._replace(line=line))
        assert doctor.examination().tokens.rows == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_the_child_stays_below_300_megabytes_at_a_million_records(
    asked: Callable[..., TokenExaminationSpec], tmp_path: Path
) -> None:
    draw = random.Random(0)
    texts = [f"{draw.getrandbits(1200):x}" for _ in range(4_000)]
    spec = asked(*({"question": text[:20], "answer": text[20:]} for text in texts))
    (tmp_path / "token_examination.json").write_text(spec.model_dump_json())
    child = [sys.executable, "-P", "-c", CHILD, str(tmp_path)]
    found = subprocess.run(child, check=True, capture_output=True, text=True)
    report = json.loads((tmp_path / "result.json").read_bytes())["result"]
    assert TokenReport.model_validate(report).statistics.rows == len(texts)
    assert re.fullmatch(r"\d+\.\d\d\n", (tmp_path / "progress").read_text())
    few, many = held_bytes(spec, 2_000), held_bytes(spec, 12_000)
    each = (many - few) / 10_000
    assert int(found.stdout) * 1024 + each * 1_000_000 < 300e6
