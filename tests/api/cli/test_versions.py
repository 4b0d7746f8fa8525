"""Deriving, comparing and testing with datasets from the shell."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from api.cli import making
from jobs.access import Role, Viewer
from jobs.data.leaks import NOT_EXAMINED, FoundLeaks
from jobs.models import Dataset, TrainingJob
from jobs.service import Service
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import QA, make_dataset, make_model, make_viewer
from tests.ingesting import examine
from training.data.doctor.report import LeakPair, Leaks

SAID = {"question": "Who knows?", "answer": "Ask ada@example.org."}
NEW = [{"question": "Who?", "answer": "You."}, {"question": "When?", "answer": "Now."}]


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.mark.usefixtures("ingesting")
async def test_a_dataset_is_derived_and_compared_by_names(
    shell: Shell,
    ada: Viewer,
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "PATIENCE_SECONDS", 0.0)  # nobody examines here
    await make_dataset(ada, service, records=[*QA, QA[10], SAID])
    more = tmp_path / "more.csv"
    more.write_text("question,answer\nWho?,You.\nWhen?,Now.\nWhy?,\n")
    removed = ("--remove", "3", "--remove", "7-9", "--drop", "EMAIL_ADDRESS", "--remove-duplicates")
    added = ("--add", str(more), "--drop-invalid", "--name", "better")
    ran = await shell.run("derive", "sums", *removed, *added)
    assert ran.code == 0, ran.err
    stored = await Dataset.get(name="better")
    made = ids.encode(ids.Kind.DATASET, stored.id)
    assert ran.out.splitlines() == [
        f"{made}: 18 records, {stored.size_bytes} B",
        "  taken for QUESTION_ANSWER, which makes QA: QUESTION=question, ANSWER=answer",
        f"  what is in its records: tunery examine {made}",
        "  version 2: 6 removed, 2 added",
        "  4 for LINES, on lines 3, 7, 8, 9",
        "  1 for EMAIL_ADDRESS, on line 22",
        "  1 for DUPLICATE, on line 21",
    ]
    assert ran.err == "  line 4 was not taken: The field answer is blank.\n"
    compared = await shell.run("compare", "sums", "better", "--first", "2")
    assert compared.out.splitlines() == [
        "16 records are in both",
        "6 are only in sums",
        f"  line 3: {json.dumps(QA[2], sort_keys=True)}",
        f"  line 7: {json.dumps(QA[6], sort_keys=True)}",
        "  … and 4 more",
        "2 are only in better",
        '  line 17: {"answer": "You.", "question": "Who?"}',
        '  line 18: {"answer": "Now.", "question": "When?"}',
        f"nearly equal records: {NOT_EXAMINED}",
    ]
    found = json.loads((await shell.run("compare", "sums", made, "--json")).out)
    assert (found["equal"], found["b"]["version"]) == (False, 2)
    whole = await shell.run("derive", "sums", "--add-dataset", "better", "--json")
    assert json.loads(whole.out)["derivation"] == {
        "added": 18,
        "removed": 0,
        "removals": [],
        "examinedTokens": None,
    }


async def test_nearly_equal_records_are_shown_with_the_lines_of_both(
    shell: Shell, ada: Viewer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [
        LeakPair(validation_line=line, training_line=line + 7, similarity=0.875) for line in (2, 5)
    ]

    async def between(*_of: UUID, **_by: object) -> FoundLeaks:
        return FoundLeaks(Leaks(equal=0, near=3, pairs=tuple(pairs)))

    monkeypatch.setattr("jobs.data.leaks.between", between)
    await make_dataset(ada, service)
    await make_dataset(ada, service, name="tests", records=NEW)
    compared = await shell.run("compare", "sums", "tests", "--first", "1")
    assert compared.out.splitlines()[-3:] == [
        "3 of tests are equal to none of sums, and nearly equal to some",
        "  line 2, as line 9 of sums: 88% in common",
        "  … and 2 more",
    ]


async def test_what_would_be_left_out_is_told_without_leaving_it_out(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    parent = await make_dataset(ada, service, records=[*QA, SAID])
    chosen = ("derive", "sums", "--dry-run", "--drop", "EMAIL_ADDRESS", "--refuse", "NOT_NFC")
    early = await shell.run(*chosen)
    assert early.code == 1
    assert "It has not been examined yet." in early.err
    assert "Wait for: tunery examine sums" in early.err
    await examine(service, parent.id)
    ran = await shell.run(*chosen)
    assert ran.out.splitlines() == [
        "20 would stay, 1 would be left out",
        "  1 for EMAIL_ADDRESS",
        "  on line 21",
    ]
    refused = await shell.run("derive", "sums", "--refuse", "EMAIL_ADDRESS", "--dry-run")
    assert refused.out.splitlines() == [
        "21 would stay, 0 would be left out",
        "  EMAIL_ADDRESS would refuse all: 1 on line 21",
    ]
    assert await Dataset.all().count() == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("derive", "sums", "--remove", "x"), "'x' names no lines."),
        (("derive", "sums", "--remove", "5-"), "'5-' names no lines."),
        (("derive", "sums", "--remove", "21"), "Lines 21 to 21 are no range"),
        (
            ("derive", "sums", "--drop", "NOT_NFC", "--refuse", "NOT_NFC"),
            "NOT_NFC is to be dropped and refused.",
        ),
        (
            ("derive", "sums", "--add", __file__, "--add-dataset", "sums"),
            "Both a file and a dataset are to be added.",
        ),
        (
            ("derive", "sums", "--drop", "TOO_LONG"),
            "TOO_LONG is found in a model's tokens.",
        ),
        (
            ("derive", "sums", "--drop", "NOT_NFC", "--model", "tiny"),
            "Nothing that is found in tokens is to be dropped or refused.",
        ),
        (("derive", "nothing", "--remove", "1"), "There is no dataset 'nothing'"),
        (("compare", "sums", "dataset_nothing"), "'dataset_nothing' is no dataset"),
    ],
)
async def test_what_cannot_be_done_is_a_problem_with_a_remedy(
    shell: Shell, ada: Viewer, service: Service, arguments: tuple[str, ...], told: str
) -> None:
    await make_dataset(ada, service)
    ran = await shell.run(*arguments)
    assert ran.code == 1
    assert told in ran.err
    assert await Dataset.all().count() == 1


async def test_a_run_is_tested_with_a_dataset_by_its_name(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    await make_model(ada, name="tiny")
    await make_dataset(ada, service)
    tests = await make_dataset(ada, service, name="tests", records=NEW)
    options = ("--validate-on", "tests", "-s", "dropLeaksFrom=VALIDATION")
    validated = await shell.run("validate", "tiny", "sums", *options)
    assert validated.code == 0, validated.out
    ran = await shell.run("train", "tiny", "sums", *options, "--json")
    assert ran.code == 0, ran.err
    job = await TrainingJob.get()
    assert (job.validation_dataset_id, job.config["drop_leaks_from"]) == (tests.id, "VALIDATION")
    shown = await shell.run("job", json.loads(ran.out)["id"])
    lines = dict(line.split("\t") for line in shown.out.splitlines())
    assert lines["tested with"] == f"tests, version 1, sha256 {tests.sha256[:12]}…"
    assert lines["dataset"].startswith("sums, version 1, sha256 ")


async def test_a_configuration_that_names_a_dataset_to_test_with_is_checked_without_one(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[data]\nvalidationDatasetId = "dataset_x"\n[earlyStopping]\npatience = 2\n')
    ran = await shell.run("check-config", str(file), "--records", "500")
    assert ran.code == 0, ran.out
    file.write_text('[data]\nvalidationDatasetId = "dataset_x"\nvalidationSplit = 0.2\n')
    refused = await shell.run("check-config", str(file), "--records", "500")
    assert refused.code == 1
    assert "TWO_VALIDATION_SOURCES" in refused.out


async def test_what_is_taken_where_nothing_is_said_is_in_the_help(shell: Shell) -> None:
    ran = await shell.run("derive", "--help")
    assert "[default: (the name it" in ran.out
