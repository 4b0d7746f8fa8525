"""Fetching an export's files by their signed links."""

import hashlib
from typing import Any
from uuid import uuid4

import pytest

from jobs.models import Export, ModelVersion
from jobs.status import TaskStatus
from jobs.tokens import Tokens
from schema import ids
from tests.api.clients import Client
from tests.api.rows import CONTENT, make_completed_job, make_export
from tests.factories import make_viewer

EXPORT = """query($id: ID!) { getExport(id: $id) {
  format weightType status sizeBytes compressionRatio dtype bitsPerWeight sha256
  weights { name tensors parameters sizeBytes }
  parity { tokensEqual top1Agreement templateEqual singleBos positions jobRows firstDifference }
  files { name sizeBytes sha256 downloadUrl } modelVersion { version model { id } } } }"""


@pytest.fixture
async def made(client: Client) -> tuple[Client, Export]:
    viewer = await make_viewer()
    job = await make_completed_job(viewer, client.service)
    version = await ModelVersion.get(job_id=job.id)
    return await client.as_viewer(viewer), await make_export(viewer, client.service, version)


async def shown(viewer: Client, export: Export) -> dict[str, Any]:
    found = await viewer.data(EXPORT, id=ids.encode(ids.Kind.EXPORT, export.id))
    answer = found["getExport"]
    assert isinstance(answer, dict)
    return answer


async def test_a_file_is_fetched_whole_and_in_ranges_without_a_token(
    made: tuple[Client, Export],
) -> None:
    viewer, export = made
    answer = await shown(viewer, export)
    assert (answer["status"], answer["sizeBytes"]) == ("READY", len(CONTENT))
    assert answer["parity"] == {
        "tokensEqual": True,
        "top1Agreement": 1.0,
        "templateEqual": True,
        "singleBos": True,
        "positions": 300,
        "jobRows": 8,
        "firstDifference": None,
    }
    stored = {"name": "float32", "tensors": 2, "parameters": 5, "sizeBytes": 20}
    assert (answer["weights"], answer["bitsPerWeight"]) == ([stored], 32.0)
    assert (answer["weightType"], answer["dtype"]) == (None, "float32")
    [file] = answer["files"]
    assert file["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    whole = await viewer.http.get(file["downloadUrl"])
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert 'filename="model.safetensors"' in whole.headers["content-disposition"]
    part = await viewer.http.get(file["downloadUrl"], headers={"range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, b"56789")


async def test_a_link_that_does_not_hold_is_refused(made: tuple[Client, Export]) -> None:
    viewer, export = made
    tokens = viewer.service.tokens
    over = Tokens(tokens.secret, 1, 1, download_seconds=-1)
    other = Tokens("another secret, as long as it has to be", 900, 900, 900)
    assert viewer.token is not None
    links = {
        over.sign_download(export.id, "model.safetensors"): (401, "UNAUTHENTICATED"),
        other.sign_download(export.id, "model.safetensors"): (401, "UNAUTHENTICATED"),
        viewer.token: (401, "UNAUTHENTICATED"),
        "x": (401, "UNAUTHENTICATED"),
        tokens.sign_download(uuid4(), "model.safetensors"): (404, "NOT_FOUND"),
        tokens.sign_download(export.id, "../../../tunery.db"): (404, "NOT_FOUND"),
    }
    for token, expected in links.items():
        response = await viewer.http.get(f"/downloads/{token}")
        assert (response.status_code, code(response.json())) == expected


async def test_an_export_that_is_not_ready_has_nothing_to_fetch(
    made: tuple[Client, Export],
) -> None:
    viewer, export = made
    await Export.filter(id=export.id).update(status=TaskStatus.RUNNING, result=None)
    answer = await shown(viewer, export)
    assert (answer["files"], answer["parity"], answer["sizeBytes"]) == ([], None, None)
    token = viewer.service.tokens.sign_download(export.id, "model.safetensors")
    response = await viewer.http.get(f"/downloads/{token}")
    assert (response.status_code, code(response.json())) == (409, "CONFLICT")


async def test_a_file_that_is_gone_is_not_found(made: tuple[Client, Export]) -> None:
    viewer, export = made
    [file] = (await shown(viewer, export))["files"]
    viewer.service.artifacts.remove(viewer.service.artifacts.export(export.id))
    assert (await viewer.http.get(file["downloadUrl"])).status_code == 404


def code(answer: Any) -> Any:
    return answer["errors"][0]["extensions"]["code"]


async def test_what_was_not_looked_at_in_an_older_export_is_null(
    made: tuple[Client, Export],
) -> None:
    viewer, export = made
    old = dict(export.result or {})
    del old["weights"]
    known = ("tokens_equal", "kl_divergence", "top1_agreement", "max_logit_difference")
    old["parity"] = {key: old["parity"][key] for key in (*known, "stop_token_respected")}
    await Export.filter(id=export.id).update(result=old)
    answer = await shown(viewer, export)
    assert (answer["weights"], answer["bitsPerWeight"]) == ([], None)
    assert answer["parity"]["singleBos"] is None
    assert answer["parity"]["jobRows"] == 0


async def test_an_export_is_asked_for_with_what_its_format_takes(
    made: tuple[Client, Export],
) -> None:
    viewer, export = made
    ask = """mutation($input: ExportModelInput!) { exportModel(input: $input) {
      ... on Export { format weightType adapterOnly status }
      ... on InvalidProblem { code findings { code path } } } }"""
    version = ids.encode(ids.Kind.VERSION, export.version_id)
    wanted = {"modelVersionId": version, "format": "ONNX", "weightType": "INT8"}
    asked = await viewer.data(ask, input=wanted)
    assert asked["exportModel"] == {
        "format": "ONNX",
        "weightType": "INT8",
        "adapterOnly": False,
        "status": "QUEUED",
    }
    refused = await viewer.data(ask, input=wanted | {"shardBytes": 2_000_000})
    assert refused["exportModel"]["findings"] == [{"code": "NOT_SHARDED", "path": ["shardBytes"]}]
