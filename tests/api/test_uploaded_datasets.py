"""Datasets made of uploads: what they are, what they leave out, and all that is refused."""

import asyncio
import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from backports import zstd

from jobs.execution.sweep import sweep
from jobs.models import Dataset, Upload
from schema import ids
from tests.api.clients import Client, subscribe, values
from tests.api.sending import CONTENT, announce, create, made, send
from tests.factories import QA, make_model, make_viewer
from tests.training.data.files import parquet

pytestmark = pytest.mark.usefixtures("ingesting")


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


def as_csv(content: bytes) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, ["question", "answer"])
    writer.writeheader()
    writer.writerows(json.loads(line) for line in content.splitlines())
    return sink.getvalue().encode()


def as_parquet(content: bytes) -> bytes:
    return parquet([json.loads(line) for line in content.splitlines()])


def as_json(content: bytes) -> bytes:
    return json.dumps([json.loads(line) for line in content.splitlines()]).encode()


@pytest.mark.parametrize(
    ("pack", "container", "compression"),
    [
        (bytes, "JSONL", None),
        (gzip.compress, "JSONL", "GZIP"),
        (zstd.compress, "JSONL", "ZSTD"),
        (as_json, "JSON", None),
        (as_csv, "CSV", None),
        (as_parquet, "PARQUET", None),
    ],
)
async def test_a_file_becomes_the_same_dataset_as_records_sent_inline(
    viewer: Client, pack: Callable[[bytes], bytes], container: str, compression: str | None
) -> None:
    found = await made(viewer, await send(viewer, pack(CONTENT)))
    assert (found["status"], found["progress"], found["error"]) == ("READY", 100.0, None)
    assert (found["container"], found["compression"]) == (container, compression)
    assert (found["recordCount"], found["sizeBytes"]) == (20, len(CONTENT))
    inline = await create(viewer, "", source={"records": QA})
    for name in ("sha256", "dataType", "mapping", "statistics", "leftOut"):
        assert inline[name] == found[name]
    assert found["mapping"] == {
        "format": "QUESTION_ANSWER",
        "dataType": "QA",
        "columns": [
            {"part": "QUESTION", "column": "question"},
            {"part": "ANSWER", "column": "answer"},
        ],
        "ignored": [],
    }
    assert found["source"] == {
        "__typename": "UploadSource",
        "name": "sums.jsonl",
        "sizeBytes": len(pack(CONTENT)),
        "division": "PASSAGES",
    }
    assert inline["source"] is None


def as_zip(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "container", "data_type", "count"),
    [
        ("book.txt", b"It rains.\n\nIt shines.\n", "TEXT", "TEXT", 1),
        ("tool.py", b"x = 1\n", "CODE", "CODE", 1),
        ("tools.zip", as_zip({"a.py": b"x = 1\n", "b/c.rs": b"fn main() {}\n"}), "ZIP", "CODE", 2),
    ],
)
async def test_texts_and_source_files_are_told_by_their_names(
    viewer: Client, name: str, content: bytes, container: str, data_type: str, count: int
) -> None:
    upload_id = await send(viewer, content, name)
    looked = await viewer.data(
        "query($id: ID!) { inspectUpload(uploadId: $id) { container problem { message } } }",
        id=upload_id,
    )
    assert looked["inspectUpload"] == {"container": container, "problem": None}
    found = await made(viewer, upload_id)
    assert found["error"] is None
    assert (found["container"], found["dataType"], found["recordCount"]) == (
        container,
        data_type,
        count,
    )


async def test_a_bad_file_of_an_archive_is_named(viewer: Client) -> None:
    content = as_zip({"a.py": b"x = 1\n", "b.py": b"y = '\xff'\n"})
    found = await made(viewer, await send(viewer, content, "tools.zip"), onInvalid="DROP")
    assert found["recordCount"] == 1
    [rejected] = [edge["node"] for edge in found["rejected"]["edges"]]
    assert rejected["message"].startswith("b.py, line 1: ")


async def test_an_upload_is_gone_once_its_dataset_is_ready(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    await made(viewer, upload_id)
    assert await Upload.all().count() == 0
    await sweep(viewer.service.settings, viewer.service.queue)
    assert await asyncio.to_thread(viewer.service.artifacts.upload_folders) == {}
    assert (await create(viewer, upload_id))["__typename"] == "NotFoundProblem"


BAD = b"".join(
    [
        b"\xef\xbb\xbf" + json.dumps(QA[0]).encode() + b"\r\n",
        b"\n",
        b'{"question"\n',
        b'{"question": "\xff", "answer": "x"}\n',
        b'{"question": "why?"}\n',
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
        b'{"question": "a\\u0000", "answer": "x"}\n',
        json.dumps(QA[1]).encode(),
    ]
)
FOUND = [
    (3, "MALFORMED_JSON"),
    (4, "NOT_UTF8"),
    (5, "MISSING_FIELD"),
    (6, "TOO_DEEP"),
    (7, "NUMBER_TOO_LARGE"),
    (8, "NUL_CHARACTER"),
]


def rejected(found: dict[str, Any]) -> list[tuple[int, str]]:
    assert found["rejected"]["totalCount"] == len(found["rejected"]["edges"])
    nodes = [edge["node"] for edge in found["rejected"]["edges"]]
    return [(each["line"], each["code"]) for each in nodes]


async def test_bad_lines_are_named_and_the_upload_stays_to_be_used_without_them(
    viewer: Client,
) -> None:
    upload_id = await send(viewer, BAD)
    refused = await made(viewer, upload_id)
    assert refused["status"] == "FAILED"
    assert refused["error"]["code"] == "INVALID_RECORDS"
    assert refused["error"]["message"].startswith(
        "6 of 8 records are invalid. Line 3: This is not JSON at character 12"
    )
    assert rejected(refused) == FOUND
    assert (refused["recordCount"], refused["sha256"], refused["downloadUrl"]) == (0, None, None)
    dataset_id = ids.decode(ids.Kind.DATASET, refused["id"])
    assert not viewer.service.artifacts.records(dataset_id).exists()
    taken = await made(viewer, upload_id, onInvalid="DROP")
    assert (taken["status"], taken["recordCount"]) == ("READY", 2)
    assert rejected(taken) == FOUND


async def test_rejected_rows_are_listed_page_by_page(viewer: Client) -> None:
    bad = b"".join(b'{"question": "%d"}\n' % number for number in range(1200))
    found = await made(viewer, await send(viewer, CONTENT + bad), onInvalid="DROP")
    query = """query($id: ID!, $after: String) { getDataset(id: $id) {
      rejected(first: 100, after: $after) { totalCount pageInfo { endCursor hasNextPage }
        edges { node { line excerpt } } } } }"""
    after, lines = None, []
    while True:
        page = (await viewer.data(query, id=found["id"], after=after))["getDataset"]["rejected"]
        lines += [edge["node"]["line"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert page["totalCount"] == 1200
    assert lines == list(range(21, 1221))
    assert page["edges"][-1]["node"]["excerpt"] == '{"question": "1199"}'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\n \n", "EMPTY_FILE"),
        (b"question,answer\n", "FORMAT_UNKNOWN"),
        (b"\x00\x01\x02\x03", "CONTAINER_UNKNOWN"),
        (gzip.compress(b"", mtime=0), "EMPTY_FILE"),
        (as_parquet(CONTENT)[:-40], "PARQUET_DAMAGED"),
        (b'{"question": "a", "answer": "b", "text": "c"}\n', "FORMAT_AMBIGUOUS"),
        (b'{"text": "a"}\n{"code": "b"}\n', "FORMATS_MIXED"),
        (b'{"a": "b"}\n', "FORMAT_UNKNOWN"),
    ],
)
async def test_a_file_of_which_nothing_can_be_made_fails_with_the_reason_and_stays(
    viewer: Client, content: bytes, code: str
) -> None:
    found = await made(viewer, await send(viewer, content), onInvalid="DROP")
    assert (found["status"], found["error"]["code"]) == ("FAILED", code)
    assert found["error"]["remedy"]
    assert await Upload.all().count() == 1


async def test_a_mapping_settles_what_is_ambiguous_without_sending_the_file_again(
    viewer: Client,
) -> None:
    rows = [{"question": f"q{n}", "answer": f"a{n}", "text": f"t{n}", "id": n} for n in range(3)]
    upload_id = await send(viewer, "".join(json.dumps(row) + "\n" for row in rows).encode())
    refused = await made(viewer, upload_id)
    message = refused["error"]["message"]
    assert "QUESTION_ANSWER ('question', 'answer') and TEXT ('text')" in message
    mapping = {
        "format": "TEXT",
        "columns": [{"part": "TEXT", "column": "text"}],
        "ignored": ["question", "answer"],
    }
    found = await made(viewer, upload_id, mapping=mapping)
    assert (found["status"], found["dataType"], found["recordCount"]) == ("READY", "TEXT", 3)
    assert found["leftOut"] == [
        {"column": name, "rows": 3} for name in ("answer", "id", "question")
    ]
    assert found["mapping"]["ignored"] == ["question", "answer"]


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"format": "TEXT", "columns": []}, "TEXT needs a column for TEXT"),
        (
            {"format": "TEXT", "columns": [{"part": "TEXT", "column": "a\u0000"}]},
            "cannot be printed",
        ),
        (
            {"format": "TEXT", "columns": [{"part": "TEXT", "column": c} for c in "ab"]},
            "the part TEXT is given to several columns",
        ),
        (
            {"format": "TEXT", "columns": [{"part": "CODE", "column": "a"}]},
            "TEXT has no part CODE",
        ),
        (
            {"format": "TEXT", "columns": [{"part": "TEXT", "column": "a"}], "ignored": ["a"]},
            "the column 'a' is named twice",
        ),
    ],
)
async def test_a_mapping_that_is_not_possible_is_refused_at_once(
    viewer: Client, mapping: dict[str, Any], told: str
) -> None:
    refusal = await create(viewer, await send(viewer, CONTENT), mapping=mapping)
    [finding] = refusal["findings"]
    assert (finding["code"], finding["path"]) == ("MAPPING", ["mapping"])
    assert told in finding["message"]
    assert await Dataset.all().count() == 0


async def test_a_type_that_the_mapping_does_not_make_is_refused(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    found = await made(viewer, upload_id, dataType="TEXT")
    assert (found["status"], found["error"]["code"]) == ("FAILED", "DATA_TYPE_DIFFERS")
    mapping = {"format": "TEXT", "columns": [{"part": "TEXT", "column": "question"}]}
    refusal = await create(viewer, upload_id, dataType="QA", mapping=mapping)
    assert [each["code"] for each in refusal["findings"]] == ["DATA_TYPE_DIFFERS"]
    inline = await create(viewer, "", source={"records": QA}, dataType="TEXT")
    assert [(each["code"], each["path"]) for each in inline["findings"]] == [
        ("DATA_TYPE_DIFFERS", ["dataType"])
    ]


async def test_records_sent_inline_may_have_any_format(viewer: Client) -> None:
    sharegpt = [
        {
            "id": 1,
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}],
        }
    ]
    found = await create(viewer, "", source={"records": sharegpt})
    assert (found["status"], found["dataType"], found["mapping"]["format"]) == (
        "READY",
        "CHAT",
        "SHAREGPT",
    )
    assert found["leftOut"] == [{"column": "id", "rows": 1}]


async def test_an_upload_that_is_not_whole_is_refused(viewer: Client) -> None:
    announced = await announce(viewer, sizeBytes=100)
    refusal = await create(viewer, announced["id"])
    assert refusal == {
        "__typename": "ConflictProblem",
        "code": "CONFLICT",
        "message": "Of the upload 'sums.jsonl' only 0 of 100 bytes are here.",
    }
    assert await Dataset.all().count() == 0


async def test_anothers_upload_or_dataset_is_not_there(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    stranger = await viewer.as_viewer(await make_viewer())
    for given in (upload_id, "nonsense", "", ids.encode(ids.Kind.UPLOAD, uuid4())):
        assert (await create(stranger, given))["__typename"] == "NotFoundProblem"
        looked = await stranger.data(
            "query($id: ID!) { inspectUpload(uploadId: $id) { sampledRows } }", id=given
        )
        assert looked == {"inspectUpload": None}
    assert (await Dataset.all().count(), await Upload.all().count()) == (0, 1)
    found = await made(viewer, upload_id)
    async with stranger.socket() as socket:
        await subscribe(socket, STATUS, id=found["id"])
        answer = json.loads(await socket.recv())
    assert answer["payload"]["data"] is None or "errors" in answer["payload"]
    assert answer["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"


STATUS = """subscription($id: ID!) { datasetStatus(datasetId: $id) {
  status progress recordCount error { code } } }"""


async def test_a_dataset_is_followed_until_it_is_ready(viewer: Client) -> None:
    begun = await create(viewer, await send(viewer, CONTENT))
    async with viewer.socket() as socket:
        await subscribe(socket, STATUS, id=begun["id"])
        told = [payload["data"]["datasetStatus"] async for payload in values(socket)]
    assert told[0]["status"] in ("QUEUED", "RUNNING")
    assert told[-1] == {"status": "READY", "progress": 100.0, "recordCount": 20, "error": None}
    assert all(one != other for one, other in pairwise(told))


async def test_records_are_fetched_as_they_are_stored_and_make_the_same_dataset_again(
    viewer: Client,
) -> None:
    found = await made(viewer, await send(viewer, as_csv(CONTENT)))
    fetched = await viewer.http.get(found["downloadUrl"])
    assert (fetched.status_code, sha256(fetched.content).hexdigest()) == (200, found["sha256"])
    assert [json.loads(line) for line in fetched.content.splitlines()] == QA
    assert 'filename="sums.jsonl"' in fetched.headers["content-disposition"]
    again = await made(viewer, await send(viewer, fetched.content))
    assert again["sha256"] == found["sha256"]
    tokens = viewer.service.tokens
    for token, status in [
        ("x", 401),
        (tokens.sign_download(uuid4(), "records"), 401),
        (tokens.sign_records(uuid4()), 404),
    ]:
        assert (await viewer.http.get(f"/downloads/records/{token}")).status_code == status


@pytest.mark.parametrize("source", ["{}", '{records: [], uploadId: "x"}', "{uploadId: null}"])
async def test_exactly_one_source_is_given(viewer: Client, source: str) -> None:
    response = await viewer.post(
        'mutation { createDataset(input: {name: "x", dataType: QA, source: '
        f"{source}}}) {{ __typename }} }}"
    )
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] in ("GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT")


async def test_nothing_is_trained_on_a_dataset_that_failed(viewer: Client) -> None:
    found = await made(viewer, await send(viewer, b'{"a": "b"}\n'))
    model = await make_model(await make_viewer())
    given = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": found["id"],
        "trainingType": "LORA",
    }
    validated = await viewer.data(
        """query($input: RunPipelineInput!) { validateConfig(input: $input) {
        valid errors { code path message } } }""",
        input=given,
    )
    [error] = validated["validateConfig"]["errors"]
    assert (error["code"], error["path"]) == ("DATASET_NOT_READY", ["datasetId"])
    assert found["error"]["message"] in error["message"]
    refused = await viewer.data(
        """mutation($input: RunPipelineInput!) { runPipeline(input: $input) { __typename
        ... on InvalidProblem { findings { code } } } }""",
        input=given,
    )
    assert refused["runPipeline"] == {
        "__typename": "InvalidProblem",
        "findings": [{"code": "DATASET_NOT_READY"}],
    }
