"""Exports asked for from the shell."""

import asyncio

import pytest

from jobs.access import Role, Viewer
from jobs.models import Export, ModelVersion
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.api.rows import make_completed_job, make_export
from tests.factories import make_viewer
from training.export.spec import ExportFormat, WeightType


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.fixture
async def version(ada: Viewer, service: Service) -> ModelVersion:
    job = await make_completed_job(ada, service)
    return await ModelVersion.get(job_id=job.id)


async def test_a_version_is_exported_as_it_was_asked_for(
    shell: Shell, ada: Viewer, service: Service, version: ModelVersion
) -> None:
    known = await make_export(ada, service, version)

    async def made_by_a_worker() -> None:
        while await Export.filter(status=TaskStatus.QUEUED).count() == 0:
            await asyncio.sleep(0.02)
        done = {"status": TaskStatus.READY, "result": known.result}
        await Export.filter(status=TaskStatus.QUEUED).update(**done)

    worker = asyncio.create_task(made_by_a_worker())
    options = ("--format", "ONNX", "--weights", "INT8")
    ran = await shell.run("export", ids.encode(ids.Kind.VERSION, version.id), *options)
    await worker
    assert ran.code == 0, ran.err
    export = await Export.exclude(id=known.id).get()
    assert (export.format, export.weight_type) == (ExportFormat.ONNX, WeightType.INT8)
    assert f"{ids.encode(ids.Kind.EXPORT, export.id)} is READY: " in ran.out
    assert ", 32 bits per weight, sha256 1111" in ran.out


async def test_what_a_format_does_not_do_is_told(shell: Shell, version: ModelVersion) -> None:
    options = ("--format", "PYTORCH", "--shard-bytes", "2000000")
    ran = await shell.run("export", ids.encode(ids.Kind.VERSION, version.id), *options)
    assert ran.code == 1
    assert "PYTORCH has its weights in one file." in ran.err
    assert await Export.all().count() == 0
