"""Datasets made of uploads: the same as of inline records, and all that is refused."""

import asyncio
import gzip
import json
from typing import Any
from uuid import uuid4

import pytest

from jobs import dataset_files, datasets
from jobs.models import Dataset, Upload
from schema import ids
from tests.api.clients import Client
from tests.api.sending import CONTENT, CREATE_DATASET, announce
from tests.factories import QA, make_viewer


@pytest.fixture
async def viewer(client: Client) -> Client:
    return await client.as_viewer(await make_viewer())


async def send(viewer: Client, content: bytes) -> str:
    """The id of an upload that holds this."""
    made = await announce(viewer)
    assert (await viewer.http.put(made["url"], content=content)).status_code == 200
    return str(made["id"])


async def create(viewer: Client, upload_id: str, **changes: Any) -> dict[str, Any]:
    given = {"name": "sums", "dataType": "QA", "source": {"uploadId": upload_id}} | changes
    answer = (await viewer.data(CREATE_DATASET, input=given))["createDataset"]
    assert isinstance(answer, dict)
    return answer


async def test_an_upload_becomes_the_same_dataset_as_inline_records(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    made = await create(viewer, upload_id)
    inline = await create(viewer, upload_id, source={"records": QA})
    assert (made["__typename"], made["recordCount"], made["sizeBytes"]) == (
        "Dataset",
        20,
        len(CONTENT),
    )
    assert made["sha256"] == inline["sha256"]
    rows = await Dataset.all().order_by("created_at")
    assert rows[0].statistics == rows[1].statistics
    assert await Upload.all().count() == 0
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
    (3, "NOT_JSON"),
    (4, "NOT_UTF8"),
    (5, "MISSING_FIELD"),
    (6, "NESTED_TOO_DEEP"),
    (7, "NUMBER_TOO_LONG"),
    (8, "NUL_CHARACTER"),
]


async def test_bad_lines_are_named_and_the_upload_stays_to_be_used_without_them(
    viewer: Client,
) -> None:
    upload_id = await send(viewer, BAD)
    refusal = await create(viewer, upload_id)
    assert refusal["message"] == "6 of 8 records are invalid."
    assert [each["code"] for each in refusal["findings"]] == [code for _, code in FOUND]
    assert {tuple(each["path"]) for each in refusal["findings"]} == {("source", "uploadId")}
    assert refusal["findings"][0]["message"].startswith("Line 3: The line is no JSON: ")
    assert await Dataset.all().count() == 0
    made = await create(viewer, upload_id, onInvalid="DROP")
    assert made["recordCount"] == 2
    rejected = [edge["node"] for edge in made["rejected"]["edges"]]
    assert [(each["line"], each["code"]) for each in rejected] == FOUND


async def test_a_line_that_is_too_long_is_passed_over(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.jsonl.MAX_LINE_BYTES", 200)
    long = json.dumps({"question": "x" * 1000, "answer": "y"}).encode()
    lines = b"\n".join([json.dumps(QA[0]).encode(), long, json.dumps(QA[1]).encode(), long])
    made = await create(viewer, await send(viewer, lines), onInvalid="DROP")
    rejected = [edge["node"] for edge in made["rejected"]["edges"]]
    assert rejected == [
        {"line": 2, "code": "LINE_TOO_LONG"},
        {"line": 4, "code": "LINE_TOO_LONG"},
    ]
    assert made["recordCount"] == 2


@pytest.mark.parametrize(
    ("content", "code"), [(b"\n \n", "EMPTY_DATASET"), (gzip.compress(CONTENT), "NOT_UTF8")]
)
async def test_a_file_without_a_record_is_refused(
    viewer: Client, content: bytes, code: str
) -> None:
    refusal = await create(viewer, await send(viewer, content), onInvalid="DROP")
    assert refusal["__typename"] == "InvalidProblem"
    assert code in [each["code"] for each in refusal["findings"]]
    assert (await Dataset.all().count(), await Upload.all().count()) == (0, 1)


async def test_an_upload_that_is_not_whole_is_refused(viewer: Client) -> None:
    made = await announce(viewer, sizeBytes=100)
    refusal = await create(viewer, made["id"])
    assert refusal == {
        "__typename": "ConflictProblem",
        "code": "CONFLICT",
        "message": "Of the upload 'sums.jsonl' only 0 of 100 bytes are here.",
    }


async def test_anothers_upload_is_not_there(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    stranger = await viewer.as_viewer(await make_viewer())
    for given in (upload_id, "nonsense", "", ids.encode(ids.Kind.UPLOAD, uuid4())):
        assert (await create(stranger, given))["__typename"] == "NotFoundProblem"
    assert (await Dataset.all().count(), await Upload.all().count()) == (0, 1)


@pytest.mark.parametrize("source", ["{}", '{records: [], uploadId: "x"}', "{uploadId: null}"])
async def test_exactly_one_source_is_given(viewer: Client, source: str) -> None:
    response = await viewer.post(
        'mutation { createDataset(input: {name: "x", dataType: QA, source: '
        f"{source}}}) {{ __typename }} }}"
    )
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] in ("GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT")


async def test_what_this_way_cannot_take_in_time_is_refused(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "MAX_FILE_BYTES", len(CONTENT) - 1)
    refusal = await create(viewer, await send(viewer, CONTENT))
    assert [each["code"] for each in refusal["findings"]] == ["FILE_TOO_LARGE"]
    monkeypatch.setattr(datasets, "MAX_FILE_BYTES", len(CONTENT))
    monkeypatch.setattr(dataset_files, "MAX_REJECTED", 3)
    refusal = await create(viewer, await send(viewer, CONTENT), dataType="TEXT", onInvalid="DROP")
    assert [each["code"] for each in refusal["findings"]] == ["TOO_MANY_INVALID"]
    assert await Dataset.all().count() == 0


async def test_a_file_that_was_used_up_a_moment_ago_is_not_there(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    viewer.service.artifacts.uploaded(ids.decode(ids.Kind.UPLOAD, upload_id)).unlink()
    assert (await create(viewer, upload_id))["__typename"] == "NotFoundProblem"
    assert not await Dataset.exists()


async def test_of_two_datasets_made_of_one_upload_at_once_one_is_made(viewer: Client) -> None:
    upload_id = await send(viewer, CONTENT)
    answers = await asyncio.gather(*(create(viewer, upload_id) for _ in range(2)))
    assert sorted(each["__typename"] for each in answers) == ["Dataset", "NotFoundProblem"]
    [stored] = await Dataset.all()
    folders = list(viewer.service.artifacts.dataset(stored.id).parent.iterdir())
    assert [folder.name for folder in folders] == [str(stored.id)]
