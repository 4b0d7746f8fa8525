"""Following a job: every event once and in order, whenever the client joins or comes back."""

import asyncio
from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.models import Dataset, JobEvent, ModelVersion, TrainingJob
from jobs.runs import control
from jobs.runs.history import move
from jobs.service import Service
from jobs.status import JobStatus
from schema import ids
from tests.api.clients import Client, receive, send, subscribe, values
from tests.api.rows import PROGRESS, happen, make_completed_job
from tests.factories import MEMORY, make_job, make_viewer
from training import events as training
from training.config import StartKind

EVENTS = """subscription($id: ID!, $after: Int! = 0) { trainingEvents(jobId: $id, afterSeq: $after) {
  __typename seq attempt ... on ProgressReported { progress }
  ... on StatusChanged { from to reason } ... on JobFinished { status modelVersion { version } }
} }"""
STATUS = "subscription($id: ID!) { trainingStatus(jobId: $id) { status lastSeq progress } }"


async def announce(service: Service, job: TrainingJob, kind: str, **data: Any) -> int:
    seq = await happen(job, kind, **data)
    await service.queue.publish(job.id, seq)
    return seq


@pytest.fixture
async def followed(client: Client) -> tuple[Client, TrainingJob, str]:
    viewer = await make_viewer()
    job = await make_job(viewer, client.service)
    return await client.as_viewer(viewer), job, ids.encode(ids.Kind.JOB, job.id)


async def test_what_was_missed_comes_first_then_what_happens_then_the_end(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed
    for _ in range(5):
        await happen(job, "Progress", **PROGRESS)
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id)
        seen = [await event(socket) for _ in range(6)]
        assert [each["seq"] for each in seen] == [1, 2, 3, 4, 5, 6]
        assert seen[0] == {
            "__typename": "StatusChanged",
            "seq": 1,
            "attempt": 0,
            "from": None,
            "to": "QUEUED",
            "reason": "submitted",
        }
        await announce(client.service, job, "Progress", **PROGRESS | {"progress": 50.0})
        live = await event(socket)
        assert (live["__typename"], live["seq"], live["progress"]) == ("ProgressReported", 7, 50.0)
        cancelled = "mutation($id: ID!) { cancelTraining(jobId: $id) { __typename } }"
        await client.data(cancelled, id=job_id)
        rest = [value["data"]["trainingEvents"] async for value in values(socket)]
    assert [(each["__typename"], each["seq"]) for each in rest] == [
        ("StatusChanged", 8),
        ("JobFinished", 9),
    ]
    assert rest[1]["status"] == "CANCELLED"


async def test_a_client_that_comes_back_goes_on_where_it_was(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed
    await happen(job, "Progress", **PROGRESS)
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id)
        assert [(await event(socket))["seq"] for _ in range(2)] == [1, 2]
    for _ in range(3):
        await announce(client.service, job, "Progress", **PROGRESS)
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id, after=2)
        assert [(await event(socket))["seq"] for _ in range(3)] == [3, 4, 5]
        await announce(client.service, job, "Progress", **PROGRESS)
        assert (await event(socket))["seq"] == 6


async def test_whoever_joins_whenever_sees_every_event_once_and_in_order(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed

    async def follow(delay: float) -> list[int]:
        await asyncio.sleep(delay)
        async with client.socket() as socket:
            await subscribe(socket, EVENTS, id=job_id)
            return [v["data"]["trainingEvents"]["seq"] async for v in values(socket)]

    async def work() -> None:
        for _ in range(40):
            await announce(client.service, job, "Progress", **PROGRESS)
            await asyncio.sleep(0.01)
        owner = Viewer(job.owner_id, "", Role.TRAINER)
        await control.cancel(owner, job.id, queue=client.service.queue)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(n * 0.05)) for n in range(12)]
        group.create_task(work())
    last = await JobEvent.filter(job_id=job.id).count()
    assert last == 43
    assert [task.result() for task in followers] == [list(range(1, last + 1))] * 12


async def test_a_message_lost_on_the_way_loses_no_event(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id)
        assert (await event(socket))["seq"] == 1
        await happen(job, "Progress", **PROGRESS)  # and nobody announces it
        async with asyncio.timeout(5):
            assert (await event(socket))["seq"] == 2


async def test_a_job_that_has_ended_is_replayed_to_its_end(client: Client) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, client.service)
    await control.cancel(viewer, job.id, queue=client.service.queue)
    async with (await client.as_viewer(viewer)).socket() as socket:
        await subscribe(socket, EVENTS, id=ids.encode(ids.Kind.JOB, job.id))
        seen = [v["data"]["trainingEvents"]["__typename"] async for v in values(socket)]
        assert seen == ["StatusChanged", "StatusChanged", "JobFinished"]
        await subscribe(socket, EVENTS, id=ids.encode(ids.Kind.JOB, job.id), after=3)
        assert [value async for value in values(socket)] == []


async def test_status_comes_now_and_whenever_it_changes_until_the_end(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed
    async with client.socket() as socket:
        await subscribe(socket, STATUS, id=job_id)
        now = (await receive(socket))["payload"]["data"]["trainingStatus"]
        assert now == {"status": "QUEUED", "lastSeq": 1, "progress": 0.0}
        await move(job.id, JobStatus.PREPARING)
        await client.service.queue.publish(job.id, 2)
        later = (await receive(socket))["payload"]["data"]["trainingStatus"]
        assert later == {"status": "PREPARING", "lastSeq": 2, "progress": 0.0}
        await move(job.id, JobStatus.FAILED)
        await client.service.queue.publish(job.id, 3)
        rest = [value["data"]["trainingStatus"] async for value in values(socket)]
    assert rest == [{"status": "FAILED", "lastSeq": 3, "progress": 0.0}]


async def test_related_rows_are_read_anew_for_every_value(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, job, job_id = followed
    query = "subscription($id: ID!) { trainingStatus(jobId: $id) { dataset { name } } }"
    async with client.socket() as socket:
        await subscribe(socket, query, id=job_id)
        first = (await receive(socket))["payload"]["data"]["trainingStatus"]
        assert first == {"dataset": {"name": "sums"}}
        await Dataset.filter(id=job.dataset_id).update(name="renamed")
        await announce(client.service, job, "Progress", **PROGRESS)
        second = (await receive(socket))["payload"]["data"]["trainingStatus"]
        assert second == {"dataset": {"name": "renamed"}}


async def test_a_negative_number_to_follow_from_is_refused(
    followed: tuple[Client, TrainingJob, str],
) -> None:
    client, _, job_id = followed
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id, after=-1)
        [answer] = [value async for value in values(socket)]
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "INVALID"
    assert error["message"] == "afterSeq is -1, but must be at least 0."


async def test_whoever_leaves_is_forgotten(followed: tuple[Client, TrainingJob, str]) -> None:
    client, _, job_id = followed
    async with client.socket() as socket:
        await subscribe(socket, EVENTS, id=job_id)
        assert (await event(socket))["seq"] == 1
        assert len(client.service.hub._feeds) == 1
        await send(socket, id="1", type="complete")
        await send(socket, type="ping")
        assert (await receive(socket))["type"] == "pong"
        async with asyncio.timeout(2):
            while client.service.hub._feeds:
                await asyncio.sleep(0.01)


EVERY = """subscription($id: ID!) { trainingEvents(jobId: $id) { __typename seq at
  ... on DataProgress { records progress }
  ... on DataPrepared { trainingRecords validationRecords droppedRecords truncatedRecords tokens
    trainedTokens totalSteps tokensReused }
  ... on StartedFrom { source name }
  ... on EngineChosen { path reason precision device lanes tokenBudget }
  ... on Resumed { checkpointName epoch step }
  ... on MemoryEstimated { memory { weights gradients optimizer activations logits base peak
    available fits method } }
  ... on TimeEstimated { seconds } ... on ResourcesUsed { usage { peakMemoryBytes seconds } }
  ... on ProgressReported { progress epoch totalEpochs step totalSteps loss accuracy learningRate
    gradientNorm tokensPerSecond estimatedTimeRemaining }
  ... on EpochCompleted { metrics { epoch trainingLoss validationLoss durationSeconds } }
  ... on CheckpointSaved { name epoch step sizeBytes best removed score requested checkpoint { name sizeBytes } }
  ... on WarningRaised { code message remedy }
  ... on StoppedEarly { epoch bestEpoch }
  ... on SamplesGenerated { stage samples { prompt answer } }
  ... on JobFinished { status error { code } modelVersion { version job { id } } } } }"""


RUN: tuple[training.Event, ...] = (
    training.DataProgress(records=9, progress=45.0),
    training.DataPrepared(
        training_records=18,
        validation_records=2,
        dropped_records=0,
        truncated_records=1,
        tokens=6_000_000_000,
        trained_tokens=5_000_000_000,
        total_steps=9,
        tokens_reused=True,
    ),
    training.StartedFrom(source=StartKind.VERSION, name="v1.0.0"),
    training.EngineChosen(
        path=training.ComputePath.PACKED,
        reason="FUSED cannot compute it",
        precision="bfloat16",
        device="AVX512",
        lanes=1,
        token_budget=1024,
    ),
    training.Resumed(checkpoint="epoch-0", epoch=1, step=3),
    training.MemoryEstimated(memory=MEMORY),
    training.TimeEstimated(seconds=60.5),
    training.ResourcesUsed(peak_memory_bytes=3_300_000_000, seconds=61.5),
    training.Progress(**PROGRESS),
    training.EpochCompleted(
        epoch=1,
        training_loss=1.5,
        training_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=None,
        duration_seconds=2.0,
    ),
    training.CheckpointSaved(
        name="epoch-1",
        epoch=1,
        step=8,
        validation_loss=None,
        validation_accuracy=None,
        size_bytes=5_000_000_000,
        best=True,
        removed=("epoch-0",),
        score=1.5,
        requested=True,
    ),
    training.WarningRaised(code="X", message="x"),
    training.StoppedEarly(epoch=2, best_epoch=1),
    training.SamplesGenerated(stage="AFTER", samples=(training.Sample(prompt="1+1?", answer="2"),)),
)


async def test_every_kind_of_event_is_told(client: Client) -> None:
    viewer = await make_viewer()
    job = await make_completed_job(viewer, client.service)
    version = await ModelVersion.get(job_id=job.id)
    for written in RUN:
        data = written.model_dump(mode="json", exclude={"kind", "at"})
        await happen(job, written.kind, **data)
    await happen(job, "JobFinished", status="COMPLETED", error=None, version_id=str(version.id))
    async with (await client.as_viewer(viewer)).socket() as socket:
        job_id = ids.encode(ids.Kind.JOB, job.id)
        await subscribe(socket, EVERY, id=job_id)
        seen = [v["data"]["trainingEvents"] async for v in values(socket)]
    assert [each["seq"] for each in seen] == list(range(1, 17))
    by_type = {each["__typename"]: each for each in seen}
    assert (by_type["DataProgress"]["records"], by_type["DataProgress"]["progress"]) == (9, 45.0)
    assert by_type["DataPrepared"]["tokensReused"]
    assert by_type["DataPrepared"]["trainedTokens"] == 5_000_000_000
    assert by_type["StartedFrom"]["source"] == "VERSION"
    assert by_type["EngineChosen"]["path"] == "PACKED"
    assert by_type["EngineChosen"]["tokenBudget"] == 1024
    assert by_type["Resumed"]["checkpointName"] == "epoch-0"
    memory = MEMORY.model_dump(mode="json") | {"fits": False}
    assert by_type["MemoryEstimated"]["memory"] == memory
    assert by_type["TimeEstimated"]["seconds"] == 60.5
    usage = {"peakMemoryBytes": 3_300_000_000, "seconds": 61.5}
    assert by_type["ResourcesUsed"]["usage"] == usage
    assert by_type["ProgressReported"]["gradientNorm"] is None
    assert by_type["EpochCompleted"]["metrics"]["trainingLoss"] == 1.5
    assert by_type["CheckpointSaved"]["checkpoint"] == {
        "name": "epoch-1",
        "sizeBytes": 5_000_000_000,
    }
    assert by_type["CheckpointSaved"]["removed"] == ["epoch-0"]
    assert by_type["CheckpointSaved"]["score"] == 1.5
    assert by_type["CheckpointSaved"]["requested"] is True
    assert by_type["SamplesGenerated"]["samples"] == [{"prompt": "1+1?", "answer": "2"}]
    assert by_type["JobFinished"] == {
        "__typename": "JobFinished",
        "seq": 16,
        "at": by_type["JobFinished"]["at"],
        "status": "COMPLETED",
        "error": None,
        "modelVersion": {"version": "v1.0.0", "job": {"id": job_id}},
    }


async def test_a_job_shows_what_it_was_to_need_and_what_it_needed(client: Client) -> None:
    viewer = await make_viewer()
    job = await make_job(viewer, client.service)
    query = """query($id: ID!) { getTrainingStatus(jobId: $id) { usage { peakMemoryBytes seconds }
      estimate { seconds memory { peak activations fits } } } }"""
    known = await client.as_viewer(viewer)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    shown = (await known.data(query, id=job_id))["getTrainingStatus"]
    assert shown == {"usage": None, "estimate": None}
    estimate = {"memory": MEMORY.model_dump(mode="json"), "seconds": None}
    usage = {"peak_memory_bytes": 3_300_000_000, "seconds": 61.5}
    await TrainingJob.filter(id=job.id).update(estimate=estimate, usage=usage)
    shown = (await known.data(query, id=job_id))["getTrainingStatus"]
    assert shown["usage"] == {"peakMemoryBytes": 3_300_000_000, "seconds": 61.5}
    memory = {"peak": 3_230_000_000, "activations": 900_000_000, "fits": False}
    assert shown["estimate"] == {"seconds": None, "memory": memory}


async def event(socket: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message = await receive(socket)
    found = message["payload"]["data"]["trainingEvents"]
    assert isinstance(found, dict)
    return found
