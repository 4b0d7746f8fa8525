"""Looking at an upload: what it would be taken for, its rows beside their records, and its problem."""

import asyncio
import gzip
import json
import signal
from typing import Any

import pytest

from jobs.data import inspections
from tests.api.clients import Client
from tests.api.sending import CONTENT, announce, send
from tests.factories import make_viewer
from tests.jobs.stage import eventually
from tests.training.data.files import jsonl, parquet

INSPECT = """query($id: ID!, $mapping: DatasetMappingInput) {
  inspectUpload(uploadId: $id, mapping: $mapping) {
    container compression sampledRows mapping { format dataType columns { part column } ignored }
    rows { line raw record rejected { code } } rejected { line code } leftOut { column rows }
    problem { code message remedy } } }"""


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


async def inspect(viewer: Client, content: bytes, **mapping: Any) -> dict[str, Any]:
    upload_id = await send(viewer, content)
    given = {"mapping": mapping} if mapping else {}
    answer = (await viewer.data(INSPECT, id=upload_id, **given))["inspectUpload"]
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(("pack", "compression"), [(bytes, None), (gzip.compress, "GZIP")])
async def test_a_file_is_shown_as_it_is_and_as_what_it_becomes(
    viewer: Client, pack: Any, compression: str | None
) -> None:
    rows = [{"Question": f"q{n}", "answer": f"a{n}", "id": n} for n in range(150)]
    found = await inspect(viewer, pack(jsonl(*rows[:2], {"answer": "b"}, *rows[2:]) + b"{"))
    assert (found["container"], found["compression"]) == ("JSONL", compression)
    assert found["mapping"] == {
        "format": "QUESTION_ANSWER",
        "dataType": "QA",
        "columns": [
            {"part": "QUESTION", "column": "Question"},
            {"part": "ANSWER", "column": "answer"},
        ],
        "ignored": ["id"],
    }
    assert (found["sampledRows"], found["problem"]) == (100, None)
    assert found["rows"][0] == {
        "line": 1,
        "raw": rows[0],
        "record": {"question": "q0", "answer": "a0"},
        "rejected": None,
    }
    assert (found["rows"][2]["record"], found["rows"][2]["rejected"]) == (
        None,
        {"code": "MISSING_FIELD"},
    )
    assert len(found["rows"]) == 5
    assert found["rejected"] == [{"line": 3, "code": "MISSING_FIELD"}]
    assert found["leftOut"] == [{"column": "id", "rows": 99}]


async def test_a_parquet_file_is_looked_at_and_long_texts_are_cut(viewer: Client) -> None:
    found = await inspect(viewer, parquet([{"text": "x" * 5000, "n": 1.5}]))
    assert (found["container"], found["mapping"]["format"]) == ("PARQUET", "TEXT")
    [row] = found["rows"]
    assert row["raw"] == {"text": "x" * 1999 + "…", "n": 1.5}
    assert row["record"] == {"text": "x" * 1999 + "…"}


async def test_a_problem_names_both_formats_and_a_mapping_settles_it(viewer: Client) -> None:
    content = jsonl({"question": "q", "answer": "a", "text": "t"})
    found = await inspect(viewer, content)
    assert (found["problem"]["code"], found["mapping"]) == ("FORMAT_AMBIGUOUS", None)
    assert "QUESTION_ANSWER" in found["problem"]["message"]
    assert "TEXT" in found["problem"]["message"]
    assert found["rows"][0]["raw"] == {"question": "q", "answer": "a", "text": "t"}
    settled = await inspect(
        viewer,
        content,
        format="TEXT",
        columns=[{"part": "TEXT", "column": "text"}],
        ignored=["question", "answer"],
    )
    assert (settled["problem"], settled["rows"][0]["record"]) == (None, {"text": "t"})


async def test_a_given_mapping_that_the_rows_do_not_have_rejects_them(viewer: Client) -> None:
    mapping = {"format": "TEXT", "columns": [{"part": "TEXT", "column": "body"}]}
    found = await inspect(viewer, CONTENT, **mapping)
    assert [each["code"] for each in found["rejected"]] == ["FORMAT_AMBIGUOUS"] * 20
    assert (found["problem"], found["mapping"]["format"]) == (None, "TEXT")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"7z\xbc\xaf", "CONTAINER_UNKNOWN"), (b"\n", "EMPTY_FILE"), (b"PAR1", "PARQUET_DAMAGED")],
)
async def test_what_is_no_data_has_a_problem(viewer: Client, content: bytes, code: str) -> None:
    found = await inspect(viewer, content)
    assert (found["problem"]["code"], found["rows"], found["mapping"]) == (code, [], None)


async def test_an_upload_that_is_not_whole_cannot_be_looked_at(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=5)
    assert await viewer.code(INSPECT, id=made["id"]) == "CONFLICT"


async def test_a_reader_that_crashes_or_hangs_is_told_as_a_problem(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = asyncio.create_subprocess_exec

    def starting(*program: str) -> Any:
        async def run(*_command: str, **options: Any) -> asyncio.subprocess.Process:
            return await start(*program, **options)

        return run

    monkeypatch.setattr("asyncio.create_subprocess_exec", starting("sh", "-c", "kill -ABRT $$"))
    assert (await inspect(viewer, CONTENT))["problem"]["code"] == "SOURCE_CRASHES"
    await viewer.service.inspector.close()  # and with it the next reader, which is such a one
    monkeypatch.setattr("asyncio.create_subprocess_exec", starting("sh", "-c", "exit 3"))
    assert (await inspect(viewer, CONTENT))["problem"]["code"] == "INSPECTION_FAILED"
    await viewer.service.inspector.close()
    monkeypatch.setattr(inspections, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("asyncio.create_subprocess_exec", starting("sleep", "60"))
    assert (await inspect(viewer, CONTENT))["problem"]["code"] == "INSPECTION_SLOW"


async def test_the_next_reader_is_there_before_it_is_asked_and_reads_once(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = asyncio.create_subprocess_exec, []

    async def counted(*command: str, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*command, **options))
        return started[-1]

    monkeypatch.setattr("asyncio.create_subprocess_exec", counted)
    first = await inspect(viewer, CONTENT)
    await eventually(lambda: len(started) == 2)
    second = await inspect(viewer, CONTENT)
    assert (first, first["problem"]) == (second, None)
    await eventually(lambda: len(started) == 3)
    assert [each.returncode for each in started] == [0, 0, None]
    started[2].kill()  # one that is gone when it is asked is replaced
    await started[2].wait()
    assert await inspect(viewer, CONTENT) == first
    await eventually(lambda: len(started) == 5)
    await viewer.service.inspector.close()
    assert started[4].returncode == -signal.SIGKILL


async def test_rows_of_any_content_can_be_shown(viewer: Client) -> None:
    hostile = {"text": "a\u0000\ud800", "\ud800": [[[[1e308]]]], "deep": {"a": [None, True]}}
    found = await inspect(viewer, json.dumps(hostile).encode())
    assert found["rows"][0]["raw"]["text"] == "a\\0\\ud800"
    assert found["rows"][0]["rejected"] == {"code": "NUL_CHARACTER"}
