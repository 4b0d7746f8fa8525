"""What was found in a dataset, told to whoever uploads it or asks."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.access import Role, Viewer
from jobs.models import Dataset, Examination, TokenExamination
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import QA, make_dataset, make_model, make_viewer
from tests.ingesting import examining_worker
from tests.tiny_model import make_tiny_model
from training.preview import counting

RECORDS = [*QA, QA[3], {**QA[0], "answer": "Ask ada@example.org about the sum of these numbers."}]
FOUND = [
    "  WARNING DUPLICATE: Records equal to an earlier one: 1. Line 21",
    "    → Drop them; they are trained that many times, and tie a split's two sides together.",
    "  RECOMMENDATION CONFLICTING_ANSWERS: Records with the prompt of an earlier one and another "
    "answer: 1. Line 22",
    "    → Keep one answer where only one is right; where several are, this is as it should be.",
    "  WARNING EMAIL_ADDRESS: Records with an e-mail address: 1. Line 22",
    "    → Replace it, or make sure that you may train on it; models repeat what they are taught.",
    "  1 record is equal to an earlier one, in 1 group; the largest has 2, the first at line 4",
]


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.fixture
async def examining(service: Service) -> AsyncIterator[None]:
    """A worker that examines datasets."""
    async with examining_worker(service):
        yield


@pytest.mark.usefixtures("ada", "ingesting", "examining")
async def test_an_upload_tells_what_is_in_its_records(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    ran = await shell.run("upload", str(file))
    assert ran.code == 0, ran.err
    told = ran.out.splitlines()
    assert told[2:-1] == FOUND
    assert told[-1].startswith("  languages of 22 sampled: ")
    again = await shell.run("examine", "sums")
    assert again.out.splitlines() == [
        "sums: 22 records",
        *told[2:],
        "to leave these out: tunery derive sums --drop CODE",
    ]
    as_json = json.loads((await shell.run("examine", "sums", "--json")).out)
    assert as_json["report"]["duplicates"] == {
        "groups": 1,
        "records": 1,
        "largest": [{"count": 2, "lines": [4, 21]}],
    }
    assert as_json["report"]["personalData"] == [{"kind": "EMAIL_ADDRESS", "records": 1}]


@pytest.mark.slow
@pytest.mark.usefixtures("examining", "ingesting")
async def test_a_worker_counts_what_a_run_would_find_and_tells_what_it_saw(
    shell: Shell, ada: Viewer, service: Service, tmp_path: Path
) -> None:
    long = {"question": "Why?", "answer": "word " * 400}
    size = counting.RENDERED_BYTES // 2000 + 1
    dataset = await make_dataset(ada, service, name="large", records=[long] * size + QA[:1])
    model = await make_model(ada, source=str(make_tiny_model(tmp_path / "tiny")), name="tiny")
    options = ("--set", "maxSequenceLength=200", "--set", "onTooLong=DROP")
    at_once = await shell.run("validate", "tiny", "large", *options)
    assert "  to have a worker count the records, add --wait" in at_once.out.splitlines()
    assert await TokenExamination.all().count() == 0
    ran = await shell.run("validate", "tiny", "large", *options, "--wait")
    assert (ran.code, f"  records dropped: {size}" in ran.out.splitlines()) == (0, True), ran
    [row] = await TokenExamination.filter(dataset_id=dataset.id, model_id=model.id)
    assert (row.status, row.max_sequence_length) == (TaskStatus.READY, 200)

    shown = ("examine", "large", "--model", "tiny", "--max-sequence-length", "200")
    told = (await shell.run(*shown)).out.splitlines()
    there = told[told.index("in tokens:") + 1 :]
    assert there[0].startswith(
        f"  WARNING TOO_LONG: Records with more tokens than maxSequenceLength: {size}. Lines 1, 2, "
    )
    assert any(line.startswith(f"  {size} are longer than 200: ") for line in there)
    as_json = json.loads((await shell.run(*shown, "--json")).out)
    assert as_json["tokens"]["report"]["statistics"]["rows"] == size + 1
    assert as_json["dataset"]["report"]["duplicates"]["records"] == size - 1
    rendering = ("--model", "tiny", "--max-sequence-length", "200")
    dry = ("derive", "large", "--drop", "TOO_LONG", *rendering, "--dry-run")
    assert (await shell.run(*dry)).out.splitlines() == [
        f"1 would stay, {size} would be left out",
        f"  {size} for TOO_LONG",
        "  on lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …",
    ]
    both = (await shell.run(*dry, "--drop", "DUPLICATE")).out.splitlines()
    assert (both[0], both[1], both[5]) == (
        "by what is in the records:",
        f"2 would stay, {size - 1} would be left out",
        f"1 would stay, {size} would be left out",
    )
    made = await shell.run(*dry[:-1], "--add-dataset", "large", "--name", "short")
    assert made.code == 0, made.err
    assert made.out.splitlines()[-3:] == [
        f"  version 2: {size} removed, {size + 1} added",
        "  by the tokens of tiny: ASSISTANT, at most 200 a record",
        f"  {size} for TOO_LONG, on lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …",
    ]
    assert await TokenExamination.all().count() == 1
    alone = await shell.run("examine", "large", "--train-on", "ALL")
    assert (alone.code, "Add --model." in alone.err) == (1, True)


async def test_what_has_no_report_is_a_problem(shell: Shell, ada: Viewer, service: Service) -> None:
    waiting = await make_dataset(ada, service)
    public = ids.encode(ids.Kind.DATASET, waiting.id)
    error = {"code": "CHILD_CRASHED", "message": "It died.", "remedy": "Ask again."}
    for told, change in (
        ("Error: It has not been examined yet.", {}),
        ("Error: It could not be examined: It died.", {"status": "FAILED", "error": error}),
    ):
        if change:
            await Examination.filter(id=waiting.id).update(**change)
        ran = await shell.run("examine", public, "--wait", "0")
        assert (ran.code, ran.out, ran.err.splitlines()[0]) == (1, "", told)
    assert (await shell.run("examine", public, "--again", "--wait", "0")).code == 1
    assert (await Examination.get(id=waiting.id)).status is TaskStatus.QUEUED
    await Examination.all().delete()
    await Dataset.filter(id=waiting.id).update(status=TaskStatus.FAILED)
    ran = await shell.run("examine", public)
    assert ran.err.splitlines()[0] == "Error: The dataset is FAILED."
    unknown = await shell.run("examine", ids.encode(ids.Kind.DATASET, ada.user_id))
    assert (unknown.code, "that you can see" in unknown.err) == (1, True)
