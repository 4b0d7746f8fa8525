"""The verbs that speak to a server."""

import gzip
import json
import stat
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from api.cli import making
from api.cli.credentials import credentials_file
from api.client.uploads import fingerprint
from jobs.access import Role, Viewer
from jobs.execution.claims import claim
from jobs.fleet.workers import say_present
from jobs.models import AuditEntry, Dataset, TrainingJob
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import logged_in, session_of
from tests.api.client.test_events import end
from tests.api.rows import PROGRESS, happen, make_completed_job
from tests.factories import MEMORY, PASSWORD, QA, make_dataset, make_job, make_model, make_viewer
from training.devices.machine import Machine


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody examines what is uploaded here."""
    monkeypatch.setattr(making, "PATIENCE_SECONDS", 0.0)


async def test_a_login_is_kept_for_its_server_where_only_its_owner_reads_it(
    shell: Shell, server: str, service: Service
) -> None:
    viewer = await make_viewer(Role.VIEWER, "vic@example.org")
    url = f"http://{server}"
    assert (await shell.run("login", viewer.email, "--url", url, given=f"{PASSWORD}\n")).code == 0
    assert stat.S_IMODE(credentials_file().stat().st_mode) == 0o600
    assert list(json.loads(credentials_file().read_text())) == [url]
    whoami = await shell.run("whoami", "--url", url)
    assert whoami.out == f"vic@example.org (VIEWER) at {url}\n"
    elsewhere = await shell.run("whoami", "--url", "http://127.0.0.1:9")
    assert (elsewhere.code, elsewhere.out) == (1, "")
    assert "tunery login --url http://127.0.0.1:9" in elsewhere.err
    assert (await shell.run("logout", "--url", url)).code == 0
    assert (await shell.run("whoami", "--url", url)).code == 1
    assert service.settings.environment == "development"


async def test_a_wrong_password_is_a_problem_with_a_remedy_and_keeps_nothing(
    shell: Shell, server: str
) -> None:
    ran = await shell.run("login", "no@example.org", "--url", f"http://{server}", given="wrong\n")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "Error: The email or the password is wrong.",
        "  → Check both; an ADMIN can make an account.",
    ]
    assert not credentials_file().exists()


async def test_credentials_that_cannot_be_read_are_named(shell: Shell) -> None:
    credentials_file().parent.mkdir(parents=True)
    credentials_file().write_text("{")
    ran = await shell.run("whoami")
    assert ran.code == 1
    assert str(credentials_file()) in ran.err


@pytest.mark.usefixtures("ingesting")
async def test_a_file_becomes_a_dataset(shell: Shell, ada: Viewer, tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text("\n\n".join(json.dumps(record) for record in QA) + "\n")
    ran = await shell.run("upload", str(file), "--type", "QA")
    assert ran.code == 0, ran.err
    stored = await Dataset.get()
    assert (stored.name, stored.record_count, stored.owner_id) == ("sums", 20, ada.user_id)
    listed = await shell.run("datasets")
    assert listed.out.splitlines()[1].split("\t")[:5] == [
        ids.encode(ids.Kind.DATASET, stored.id),
        "sums",
        "QA",
        "READY",
        "20",
    ]
    (as_json,) = json.loads((await shell.run("datasets", "--json")).out)
    assert as_json["recordCount"] == 20
    assert (await shell.run("delete-dataset", as_json["id"])).code == 0
    assert await Dataset.all().count() == 0


@pytest.mark.usefixtures("ingesting")
async def test_an_upload_that_broke_off_goes_on_and_shows_how_far_it_is(
    shell: Shell, server: str, service: Service, ada: Viewer, tmp_path: Path
) -> None:
    file = tmp_path / "[red]sums.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in QA))
    size_bytes, sha256 = await fingerprint(file)
    async with logged_in(server, service, ada) as client:
        begun = await client.create_upload(file.name, size_bytes, sha256)
    async with httpx.AsyncClient(base_url=f"http://{server}") as http:
        part = {"content-range": f"bytes 0-99/{size_bytes}"}
        sent = await http.put(begun.url, content=file.read_bytes()[:100], headers=part)
        assert sent.status_code == 202
    shell.setenv("FORCE_COLOR", "1")
    ran = await shell.run("upload", str(file), "--type", "QA", "--name", "sums")
    assert ran.code == 0, ran.err
    assert "[red]sums.jsonl" in ran.err
    assert f"{size_bytes / 1000:.1f}/{size_bytes / 1000:.1f} kB" in ran.err
    actions = await AuditEntry.all().order_by("created_at").values_list("action", flat=True)
    assert actions == ["createUpload", "createDataset"]
    assert (await Dataset.get()).record_count == 20


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"question": "a", "answer": "b"}\n{"question"\n', "line 2 was not taken: This is not"),
        (b'{"question": "a", "answer": "b"}\n\xff\n', "line 2 was not taken: Byte 1 is not UTF-8."),
        (b'{"question": "a"}\n', "its columns fit no format; they are 'question'"),
        (b"", "The size is 0 bytes"),
    ],
)
@pytest.mark.usefixtures("ada", "ingesting")
async def test_a_bad_file_is_refused_by_line(
    shell: Shell, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    ran = await shell.run("upload", str(file), "--type", "QA")
    assert ran.code == 1
    assert told in ran.err
    assert await Dataset.filter(status=TaskStatus.READY).count() == 0


@pytest.mark.usefixtures("ada", "ingesting")
async def test_a_file_is_looked_at_then_mapped_then_fetched_again(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "fragen.csv.gz"
    rows = "".join(f"q{n},a{n},t{n},{n}\n" for n in range(20))
    file.write_bytes(gzip.compress(f"frage,answer,text,id\n{rows}".encode()))
    looked = await shell.run("inspect", str(file))
    assert looked.code == 0, looked.err
    assert looked.out.splitlines()[:4] == [
        f"{file}: CSV in GZIP; 20 rows were looked at",
        "  taken for TEXT, which makes TEXT: TEXT=text",
        "  left out: answer (20 rows), frage (20 rows), id (20 rows)",
        '  line 2: {"frage": "q0", "answer": "a0", "text": "t0", "id": "0"}',
    ]
    mapping = ("--format", "QUESTION_ANSWER", "--column", "question=frage", "--column")
    columns = (*mapping, "ANSWER=answer", "--ignore", "text")
    ran = await shell.run("upload", str(file), *columns)
    assert ran.code == 0, ran.err
    stored = await Dataset.get()
    public = ids.encode(ids.Kind.DATASET, stored.id)
    assert ran.out.splitlines() == [
        f"{public}: 20 records, {stored.size_bytes / 1000:.1f} kB"
        if stored.size_bytes >= 1000
        else f"{public}: 20 records, {stored.size_bytes} B",
        "  taken for QUESTION_ANSWER, which makes QA: QUESTION=frage, ANSWER=answer",
        "  left out: id (20 rows), text (20 rows)",
        f"  what is in its records: tunery examine {public}",
    ]
    assert (stored.name, stored.data_type) == ("fragen", "QA")
    fetched = await shell.run(
        "download-dataset", public, "--output", str(tmp_path / "records.jsonl")
    )
    assert fetched.code == 0, fetched.err
    content = (tmp_path / "records.jsonl").read_bytes()
    assert sha256(content).hexdigest() == stored.sha256


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--column", "TEXT=a"), "belong to a format"),
        (("--format", "TEXT", "--column", "BODY=a"), "There is no part 'BODY'."),
        (("--format", "TEXT"), "TEXT needs a column for TEXT"),
    ],
)
@pytest.mark.usefixtures("ada")
async def test_a_mapping_that_is_none_is_refused(
    shell: Shell, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"a": "b"}\n')
    ran = await shell.run("upload", str(file), *options)
    assert ran.code == 1
    assert told in ran.err
    assert await Dataset.all().count() == 0


async def test_a_run_is_started_by_names_and_single_options(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    await make_model(ada, name="tiny")
    made = await make_dataset(ada, service)
    failed = await make_dataset(ada, service)
    await Dataset.filter(id=failed.id).update(status=TaskStatus.FAILED)
    options = ("-s", "epochs=2", "-s", "earlyStopping.patience=5", "--prompt", "1+1?")
    ran = await shell.run("train", "tiny", "sums", "--method", "full", *options, "--json")
    assert ran.code == 0, ran.err
    job = await TrainingJob.get()
    assert json.loads(ran.out)["id"] == ids.encode(ids.Kind.JOB, job.id)
    assert (job.dataset_id, job.config["training_type"]) == (made.id, "FULL")
    assert job.config["epochs"] == 2
    assert job.config["early_stopping"] == {"enabled": True, "patience": 5, "min_delta": 0.001}
    assert job.config["sample_prompts"] == ["1+1?"]
    shown = await shell.run("job", ids.encode(ids.Kind.JOB, job.id))
    assert "status\tQUEUED" in shown.out
    assert "memory estimated" not in shown.out
    estimate = {"memory": MEMORY.model_dump(mode="json"), "seconds": 61.2}
    usage = {"peak_memory_bytes": 3_300_000_000, "seconds": 63.0}
    await TrainingJob.filter(id=job.id).update(estimate=estimate, usage=usage)
    shown = await shell.run("job", ids.encode(ids.Kind.JOB, job.id))
    assert "memory estimated\t3.2 GB (weights 270.0 MB, " in shown.out
    assert "time estimated\t1:01\nused\t3.3 GB of memory, 1:03\n" in shown.out
    assert (await shell.run("cancel", ids.encode(ids.Kind.JOB, job.id))).code == 0
    assert (await shell.run("jobs", "--status", "cancelled")).out.count("CANCELLED") == 1


async def test_a_job_is_paused_resumed_and_asked_for_a_checkpoint(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    job = await make_job(ada, service)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    assert (await shell.run("pause", job_id)).out == f"{job_id} is PAUSED.\n"
    assert (await shell.run("resume", job_id)).out == f"{job_id} is QUEUED.\n"
    refused = await shell.run("save-checkpoint", job_id)
    assert refused.code == 1
    assert "The job is QUEUED" in refused.err
    await claim(job.id, "worker", 30)
    saving = await shell.run("save-checkpoint", job_id, "--json")
    assert json.loads(saving.out)["status"] == "PREPARING"


async def test_a_run_starts_from_a_listed_checkpoint_which_a_clean_up_then_leaves(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    source = await make_completed_job(ada, service)
    source_id = ids.encode(ids.Kind.JOB, source.id)
    listed = (await shell.run("checkpoints", source_id)).out.splitlines()[1].split("\t")
    assert listed[1:7] == ["epoch-1", "1", "8", "-", "5.0 GB", "best"]
    model, dataset = (
        ids.encode(ids.Kind.MODEL, source.model_id),
        ids.encode(ids.Kind.DATASET, source.dataset_id),  # type: ignore[arg-type]  # it has one
    )
    ran = await shell.run("train", model, dataset, "--from", listed[0], "--json")
    assert json.loads(ran.out)["startedFrom"] == {"source": "CHECKPOINT", "name": "epoch-1"}
    shown = await shell.run("job", json.loads(ran.out)["id"])
    assert "started from\tcheckpoint epoch-1" in shown.out
    refused = await shell.run("cleanup", source_id, "--keep-best", "0")
    assert refused.code == 1
    assert "start from epoch-1" in refused.err
    await TrainingJob.filter(start_job_id=source.id).update(status=JobStatus.FAILED)
    cleaned = await shell.run("cleanup", source_id, "--keep-best", "0")
    assert cleaned.out.splitlines()[0] == "1 checkpoints deleted, 0 B freed."
    missing = await shell.run("checkpoints", "job_of_nobody")
    assert missing.code == 1
    assert "There is no job 'job_of_nobody'" in missing.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("no such model", "sums"), "There is no model 'no such model'."),
        (("tiny", "no such data"), "There is no dataset 'no such data'"),
        (("tiny", "sums", "-s", "epoch=2"), "There is no option 'epoch'."),
        (("tiny", "sums", "-s", "epochs"), "'epochs' has no value."),
        (("tiny", "sums", "-s", "epochs=many"), "hyperparameters.epochs"),
        (("tiny", "sums", "-s", "epochs=1000000000"), "OUT_OF_RANGE at hyperparameters.epochs"),
    ],
)
async def test_a_run_that_cannot_start_says_why(
    shell: Shell, ada: Viewer, service: Service, arguments: tuple[str, ...], told: str
) -> None:
    await make_model(ada, name="tiny")
    await make_dataset(ada, service)
    for verb in ("validate", "train"):
        ran = await shell.run(verb, *arguments)
        assert ran.code == 1
        assert told in ran.out + ran.err
    assert await TrainingJob.all().count() == 0


async def test_a_run_that_can_start_is_told_its_size(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    await make_model(ada, name="tiny")
    await make_dataset(ada, service)
    machine = Machine(device="cpu", bfloat16=False, threads=2, available_bytes=8_000_000_000)
    unknown = await shell.run("validate", "tiny", "sums")
    await say_present("worker", devices=1, devices_in_use=0, slots=1, machine=machine)
    told = await shell.run("validate", "tiny", "sums")
    assert (unknown.code, told.code) == (0, 0)
    assert "  memory: No worker is there that says what it has." in unknown.out.splitlines()
    lines = told.out.splitlines()
    records = "  records: 18 to train on, 2 to test with"
    assert lines[:3] == ["This run can start.", records, "  steps: 9"]
    assert lines[3].startswith("  tokens trained: about ")
    assert lines[4].startswith("  records dropped: The model's files are not on the API's machine.")
    assert lines[5].startswith("  near leaks: It is told once the records are examined;")
    assert lines[6].startswith("  memory estimated: ")
    assert lines[6].endswith("of 8.0 GB")
    assert lines[7] == "  time: The worker has not measured yet how fast its machine computes."
    measured = machine.model_copy(update={"operations_per_second": 1e11})
    await say_present("worker", devices=1, devices_in_use=0, slots=1, machine=measured)
    timed = (await shell.run("validate", "tiny", "sums")).out.splitlines()
    assert timed[7] == (
        "  time estimated: 0:02 (preparing 0:02, training 0:00, validating 0:00), "
        "between 0:01 and 0:05"
    )


async def test_a_job_is_followed_in_plain_lines_to_its_end(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    job = await make_job(ada, service)
    await happen(job, "Progress", **PROGRESS)
    await end(service, job)
    ran = await shell.run("watch", ids.encode(ids.Kind.JOB, job.id))
    assert ran.code == 1
    said = [line.partition(" ")[2] for line in ran.out.splitlines()]
    assert said == [
        "status QUEUED: submitted",
        "12.5% · epoch 1/3 · step 3/24 · loss 2.2500 · accuracy 50.0% · 900 tokens/s · 1:00 left",
        "finished CANCELLED",
    ]


async def test_a_job_is_followed_as_lines_of_json(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    job = await make_job(ada, service)
    await happen(job, "Progress", **PROGRESS)
    await end(service, job)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    ran = await shell.run("watch", job_id, "--after", "1", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [(event["seq"], event["__typename"]) for event in events] == [
        (2, "ProgressReported"),
        (3, "JobFinished"),
    ]


async def test_a_misused_verb_leaves_with_2(shell: Shell) -> None:
    assert (await shell.run("jobs", "--first", "-5")).code == 2
    assert (await shell.run("no-such-verb")).code == 2
    assert (await shell.run("upload", "/no/such/file", "--type", "QA")).code == 2


@pytest.mark.usefixtures("ada")
async def test_workers_are_listed_with_their_devices(shell: Shell) -> None:
    card = Machine(device="cuda", bfloat16=True, threads=2, available_bytes=80_000_000_000)
    await say_present("gpu-box-17", devices=4, devices_in_use=3, slots=2, machine=card)
    ran = await shell.run("workers")
    assert ran.code == 0
    header, row = ran.out.splitlines()[:2]
    assert header.split("\t") == [
        *("NAME", "DEVICES", "IN USE", "SLOTS", "DEVICE", "MEMORY", "SINCE")
    ]
    assert row.split("\t")[:6] == ["gpu-box-17", "4", "3", "2", "cuda", "80.0 GB"]
    (told,) = json.loads((await shell.run("workers", "--json")).out)
    assert (told["name"], told["devices"], told["devicesInUse"]) == ("gpu-box-17", 4, 3)
    assert told["machine"] == {
        "device": "cuda",
        "bfloat16": True,
        "threads": 2,
        "availableBytes": 80_000_000_000,
        "operationsPerSecond": None,
    }
