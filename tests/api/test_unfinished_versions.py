"""Versions that are being trained, or were not, as clients see them."""

from typing import Any

import pytest

from jobs.execution.claims import claim, end
from jobs.models import BaseModel
from jobs.runs.history import Lease
from jobs.status import JobStatus
from schema import ids
from tests.api.clients import Client
from tests.factories import make_job, make_viewer
from training.events import Failure

LIST = """query($model: String!, $status: VersionStatus) {
  listModelVersions(modelName: $model, status: $status) { edges { node {
    version status error { code message } accuracy trainingDataSize metadata { loss } samples { prompt }
    job { id modelVersion { id } } } } } }"""
DELETE = """mutation($id: ID!) { deleteModelVersion(modelVersionId: $id) {
  ... on DeletedModelVersion { id } ... on ConflictProblem { code message blockedBy } } }"""
ANSWER = """mutation($id: ID!) {
  generateAnswer(input: {versionId: $id, messages: [{role: USER, content: "1+1?"}]}) {
    ... on ConflictProblem { code message remedy } } }"""
COMPARE = "query($id: ID!) { compareModelVersions(a: $id, b: $id) { sameData } }"


@pytest.mark.redis
async def test_a_version_is_seen_while_it_is_trained_and_when_it_failed(client: Client) -> None:
    owner = await make_viewer()
    job = await make_job(owner, client.service)
    await claim(job.id, "worker", 30)
    mine = await client.as_viewer(owner)
    name = (await BaseModel.get(id=job.model_id)).name

    async def listed(status: str) -> list[dict[str, Any]]:
        found = await mine.data(LIST, model=name, status=status)
        return [each["node"] for each in found["listModelVersions"]["edges"]]

    (begun,) = await listed("TRAINING")
    key = begun.pop("job")["modelVersion"]["id"]
    assert begun == {
        "version": "v1.0.0",
        "status": "TRAINING",
        "error": None,
        "accuracy": None,
        "trainingDataSize": None,
        "metadata": None,
        "samples": [],
    }
    public_job = ids.encode(ids.Kind.JOB, job.id)
    assert (await mine.data(DELETE, id=key))["deleteModelVersion"] == {
        "code": "IN_USE",
        "message": "Version v1.0.0 is still TRAINING.",
        "blockedBy": [public_job],
    }
    assert (await mine.data(ANSWER, id=key))["generateAnswer"] == {
        "code": "IN_USE",
        "message": "Version v1.0.0 is still TRAINING.",
        "remedy": "Wait until its job is COMPLETED.",
    }
    assert await mine.code(COMPARE, id=key) == "IN_USE"
    lacking = Failure(code="OUT_OF_MEMORY", message="It lacks 9 GiB.", remedy="less")
    await end(job.id, Lease("worker", 1), JobStatus.FAILED, reason="failed", error=lacking)
    assert await listed("TRAINING") == []
    (failed,) = await listed("FAILED")
    assert failed["error"] == {"code": "OUT_OF_MEMORY", "message": "It lacks 9 GiB."}
    assert (await mine.data(DELETE, id=key))["deleteModelVersion"] == {"id": key}
