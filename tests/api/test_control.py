"""Steering jobs and starting from trained weights, as the API shows it."""

from typing import Any
from uuid import UUID

import pytest

from jobs.access import Viewer
from jobs.execution.claims import claim
from jobs.fleet.workers import forget, say_present
from jobs.models import Checkpoint, ModelVersion, TrainingJob, Worker
from jobs.runs.history import move
from jobs.status import JobStatus
from schema import ids
from tests.api.clients import Client
from tests.api.rows import make_completed_job
from tests.factories import make_job, make_viewer

Kind = ids.Kind

STEER = """mutation($id: ID!) {{ it: {field}(jobId: $id) {{ __typename
  ... on TrainingJob {{ status queuePosition }} ... on Problem {{ code message remedy }} }} }}"""

CLEAN = """mutation($id: ID!, $keep: Int!) { it: cleanupCheckpoints(jobId: $id, keepBest: $keep) {
  __typename ... on CleanedCheckpoints { deleted freedBytes kept { name score requested best } }
  ... on Problem { code message } ... on InvalidProblem { findings { path } }
  ... on ConflictProblem { blockedBy } } }"""

RUN = """mutation($input: RunPipelineInput!) { it: runPipeline(input: $input) { __typename
  ... on TrainingJob { id startedFrom { source name version { version } checkpoint { name }
    job { id } } config { loraRank } }
  ... on Problem { code message } ... on InvalidProblem { findings { code path suggestedPatch } }
  ... on ConflictProblem { blockedBy } } }"""

START = """mutation($input: StartTrainingInput!) { it: startTraining(input: $input) { __typename
  ... on TrainingJob { startedFrom { source name } } } }"""


HINDRANCES = "{ listTrainingJobs { edges { node { id hindrance { code message remedy } } } } }"


@pytest.fixture
async def viewer(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def user(client: Client, viewer: Viewer) -> Client:
    return await client.as_viewer(viewer)


async def _steer(user: Client, field: str, job: TrainingJob) -> Any:
    query = STEER.format(field=field)
    return (await user.data(query, id=ids.encode(Kind.JOB, job.id)))["it"]


async def test_a_waiting_job_is_paused_and_resumed(user: Client, viewer: Viewer) -> None:
    job = await make_job(viewer, user.service)
    expected = (("pauseTraining", "PAUSED", None), ("resumeTraining", "QUEUED", 1))
    for field, status, position in expected:
        assert await _steer(user, field, job) == {
            "__typename": "TrainingJob",
            "status": status,
            "queuePosition": position,
        }


async def test_a_job_that_no_worker_can_take_says_so_as_long_as_that_is_true(
    user: Client, viewer: Viewer
) -> None:
    one = await make_job(viewer, user.service)
    two = await make_job(viewer, user.service, devices=2, batch_size=4)
    lack = {"code": "NO_WORKER_HAS_DEVICES"}
    alone, fewer = (
        "Start a worker.",
        ("Start a worker with so many devices, or cancel the job and ask for fewer."),
    )
    none = "there is none at all; the job waits for one."
    assert await _hindrances(user) == {
        one.id: lack | {"message": f"No worker has a device, {none}", "remedy": alone},
        two.id: lack | {"message": f"No worker has 2 devices, {none}", "remedy": fewer},
    }
    await say_present("small", devices=1, devices_in_use=1, slots=1)
    too_small = "No worker has 2 devices, the largest has 1; the job waits for one."
    assert await _hindrances(user) == {
        one.id: None,
        two.id: lack | {"message": too_small, "remedy": fewer},
    }
    await say_present("large", devices=2, devices_in_use=0, slots=1)
    assert await _hindrances(user) == {one.id: None, two.id: None}
    await forget("large", 30)
    assert (await _hindrances(user))[two.id] is not None
    await Worker.all().delete()
    await claim(two.id, "worker", 30)
    assert (await _hindrances(user))[two.id] is None


async def _hindrances(user: Client) -> dict[UUID, Any]:
    edges = (await user.data(HINDRANCES))["listTrainingJobs"]["edges"]
    return {ids.decode(Kind.JOB, edge["node"]["id"]): edge["node"]["hindrance"] for edge in edges}


async def test_a_running_job_is_pausing_and_cannot_be_resumed_yet(
    user: Client, viewer: Viewer
) -> None:
    job = await make_job(viewer, user.service)
    await claim(job.id, "worker", 30)
    assert (await _steer(user, "saveCheckpoint", job))["status"] == "PREPARING"
    assert (await _steer(user, "pauseTraining", job))["status"] == "PAUSING"
    assert await _steer(user, "resumeTraining", job) == {
        "__typename": "ConflictProblem",
        "code": "CONFLICT",
        "message": "The job is still PAUSING.",
        "remedy": "Ask again once it is PAUSED.",
    }
    assert (await _steer(user, "saveCheckpoint", job))["code"] == "CONFLICT"


async def test_what_is_no_job_is_not_found(user: Client, viewer: Viewer) -> None:
    job = await make_job(viewer, user.service)
    job.id = viewer.user_id
    for field in ("pauseTraining", "resumeTraining", "saveCheckpoint", "cancelTraining"):
        assert (await _steer(user, field, job))["code"] == "NOT_FOUND"


async def test_a_clean_up_says_what_it_deleted_and_what_it_left(
    user: Client, viewer: Viewer
) -> None:
    job = await make_completed_job(viewer, user.service)
    await Checkpoint.filter(job_id=job.id).update(score=0.5)
    await Checkpoint.create(
        job_id=job.id, name="epoch-2", epoch=2, step=9, size_bytes=1, score=0.7, requested=True
    )
    job_id = ids.encode(Kind.JOB, job.id)
    bad = (await user.data(CLEAN, id=job_id, keep=-1))["it"]
    assert (bad["code"], bad["findings"]) == ("INVALID", [{"path": ["keepBest"]}])
    cleaned = (await user.data(CLEAN, id=job_id, keep=1))["it"]
    assert cleaned == {
        "__typename": "CleanedCheckpoints",
        "deleted": ["epoch-2"],
        "freedBytes": 0,  # there are no files behind these rows
        "kept": [{"name": "epoch-1", "score": 0.5, "requested": False, "best": True}],
    }


async def test_a_job_that_runs_is_not_cleaned_up(user: Client, viewer: Viewer) -> None:
    job = await make_job(viewer, user.service)
    answer = (await user.data(CLEAN, id=ids.encode(Kind.JOB, job.id), keep=1))["it"]
    assert (answer["code"], answer["blockedBy"]) == ("CONFLICT", [])


def _input(source: TrainingJob, **start: str) -> dict[str, Any]:
    assert source.dataset_id is not None
    return {
        "modelId": ids.encode(Kind.MODEL, source.model_id),
        "datasetId": ids.encode(Kind.DATASET, source.dataset_id),
        "trainingType": "LORA",
        "from": start,
    }


async def test_a_version_shows_the_whole_way_that_led_to_it(user: Client, viewer: Viewer) -> None:
    source = await make_completed_job(viewer, user.service)
    version = await ModelVersion.get(job_id=source.id)
    checkpoint = await Checkpoint.get(job_id=source.id)
    by_version = _input(source, versionId=ids.encode(Kind.VERSION, version.id))
    by_checkpoint = _input(source, checkpointId=ids.encode(Kind.CHECKPOINT, checkpoint.id))
    job = {"id": ids.encode(Kind.JOB, source.id)}
    first = (await user.data(RUN, input=by_version))["it"]
    assert first["startedFrom"] == {
        "source": "VERSION",
        "name": "v1.0.0",
        "version": {"version": "v1.0.0"},
        "checkpoint": None,
        "job": job,
    }
    second = (await user.data(RUN, input=by_checkpoint))["it"]
    assert second["startedFrom"] == {
        "source": "CHECKPOINT",
        "name": "epoch-1",
        "version": None,
        "checkpoint": {"name": "epoch-1"},
        "job": job,
    }
    short = (await user.data(START, input=by_version))["it"]
    assert short["startedFrom"] == {"source": "VERSION", "name": "v1.0.0"}
    started = ids.decode(Kind.JOB, second["id"])
    await ModelVersion.filter(id=version.id).update(job_id=started)
    shown = await user.data(
        "query($id: ID!) { node(id: $id) { ... on ModelVersion { startedFrom { name } } } }",
        id=ids.encode(Kind.VERSION, version.id),
    )
    assert shown == {"node": {"startedFrom": {"name": "epoch-1"}}}


async def test_a_checkpoint_in_use_is_named_with_the_jobs_that_need_it(
    user: Client, viewer: Viewer
) -> None:
    source = await make_completed_job(viewer, user.service)
    checkpoint = await Checkpoint.get(job_id=source.id)
    sent = _input(source, checkpointId=ids.encode(Kind.CHECKPOINT, checkpoint.id))
    started = (await user.data(RUN, input=sent))["it"]
    source_id = ids.encode(Kind.JOB, source.id)
    answer = (await user.data(CLEAN, id=source_id, keep=0))["it"]
    assert (answer["code"], answer["blockedBy"]) == ("IN_USE", [started["id"]])
    await move(ids.decode(Kind.JOB, started["id"]), JobStatus.CANCELLED)
    cleaned = (await user.data(CLEAN, id=source_id, keep=0))["it"]
    assert cleaned["deleted"] == ["epoch-1"]
    shown = await user.data(
        "query($id: ID!) { getTrainingStatus(jobId: $id) {"
        " startedFrom { name checkpoint { name } job { id } } } }",
        id=started["id"],
    )
    assert shown["getTrainingStatus"]["startedFrom"] == {
        "name": "epoch-1",
        "checkpoint": None,
        "job": {"id": source_id},
    }


async def test_a_start_that_does_not_fit_is_a_finding_with_its_patch(
    user: Client, viewer: Viewer
) -> None:
    source = await make_completed_job(viewer, user.service)
    version = await ModelVersion.get(job_id=source.id)
    sent = _input(source, versionId=ids.encode(Kind.VERSION, version.id))
    sent["hyperparameters"] = {"loraRank": 8, "loraAlpha": 32}
    refused = (await user.data(RUN, input=sent))["it"]
    errors = [each for each in refused["findings"] if each["code"] == "START_INCOMPATIBLE"]
    assert errors == [
        {
            "code": "START_INCOMPATIBLE",
            "path": ["hyperparameters", "loraRank"],
            "suggestedPatch": {"hyperparameters": {"loraRank": 16}},
        }
    ]


@pytest.mark.parametrize("start", [{}, {"versionId": "version_1", "checkpointId": "checkpoint_1"}])
async def test_exactly_one_start_is_given(
    user: Client, viewer: Viewer, start: dict[str, str]
) -> None:
    source = await make_completed_job(viewer, user.service)
    response = await user.post(RUN, input=_input(source, **start))
    assert "exactly one" in response.json()["errors"][0]["message"].lower()


async def test_an_id_of_something_else_is_no_start(user: Client, viewer: Viewer) -> None:
    source = await make_completed_job(viewer, user.service)
    sent = _input(source, versionId=ids.encode(Kind.JOB, source.id))
    assert (await user.data(RUN, input=sent))["it"]["code"] == "NOT_FOUND"
