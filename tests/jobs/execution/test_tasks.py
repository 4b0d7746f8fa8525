"""Model checks and exports: one child process each, under a lease."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from jobs.access import Viewer
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.execution import tasks
from jobs.execution.claims import claim, complete
from jobs.execution.task_kinds import ExportVersion
from jobs.fleet.devices import open_pool
from jobs.fleet.workers import say_present
from jobs.models import BaseModel, Export, ModelVersion
from jobs.queue import Work
from jobs.registry import exports
from jobs.registry.exports import ExportRequest
from jobs.runs.history import Lease, move
from jobs.service import Service
from jobs.status import JobStatus, TaskStatus
from jobs.worker import open_lanes
from tests.factories import FACTS, make_job
from tests.jobs.stage import RESULT, Step, eventually, make_viewer, starts, write_script
from tests.processes import is_alive
from training.config import TrainingType, resolve
from training.events import Failure
from training.export.spec import (
    SHARD_BYTES,
    ExportFile,
    ExportFormat,
    ExportResult,
    ExportSpec,
    MergeBase,
    Parity,
    WeightType,
)

pytestmark = pytest.mark.usefixtures("scripted")

EXPORTED = ExportResult(
    size_bytes=1,
    compression_ratio=1.0,
    dtype="float32",
    sha256="0" * 64,
    files=(ExportFile(name="model.safetensors", size_bytes=1, sha256="0" * 64),),
    parity=Parity(
        tokens_equal=True,
        kl_divergence=0.0,
        top1_agreement=1.0,
        max_logit_difference=0.0,
        stop_token_respected=True,
    ),
)
FAILURE = Failure(code="NO_WEIGHTS", message="There are no weights.", remedy="Save them.")


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


async def perform(service: Service, work: Work, row_id: UUID, worker_id: str = "worker") -> None:
    await tasks.perform(
        *(work, row_id),
        worker_id=worker_id,
        settings=service.settings,
        artifacts=service.artifacts,
    )


async def queued_model(viewer: Viewer, folder: Path, *scripts: list[Step]) -> BaseModel:
    write_script(folder, *scripts)
    return await BaseModel.create(name="tiny", source=str(folder), owner_id=viewer.user_id)


async def version_of(viewer: Viewer, service: Service, *scripts: list[Step]) -> ModelVersion:
    """A trained version whose folder holds the script for its exports."""
    job = await make_job(viewer, service)
    await claim(job.id, "worker", 30)
    job = await move(job.id, JobStatus.VALIDATING)
    folder = service.artifacts.job(job.id) / "model"
    write_script(folder, *scripts)
    await complete(job, Lease("worker", 1), RESULT, service.artifacts.relative(folder))
    return await ModelVersion.get(job_id=job.id)


async def queued_export(viewer: Viewer, service: Service, *scripts: list[Step]) -> Export:
    version = await version_of(viewer, service, *scripts)
    return await exports.request(
        *(viewer, version.id),
        ExportRequest(ExportFormat.SAFETENSORS),
        queue=service.queue,
        lease_seconds=30,
    )


async def test_a_model_that_loads_is_ready_with_its_facts(
    service: Service, viewer: Viewer, tmp_path: Path
) -> None:
    answer = {"result": FACTS.model_dump(mode="json")}
    model = await queued_model(viewer, tmp_path / "m", [["answer", answer], ["exit", 0]])
    await perform(service, Work.CHECK_MODEL, model.id)
    ready = await BaseModel.get(id=model.id)
    assert (ready.status, ready.error, ready.attempt) == (TaskStatus.READY, None, 1)
    assert ready.facts == FACTS.model_dump(mode="json")
    assert (ready.worker_id, ready.lease_expires_at) == (None, None)


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        (
            [["answer", {"error": FAILURE.model_dump(mode="json")}], ["exit", 1]],
            "NO_WEIGHTS",
            "There are no weights.",
        ),
        (
            [["print", "no memory"], ["die"]],
            "CHILD_CRASHED",
            "The process died with signal 9. no memory",
        ),
        ([["exit", 0]], "CHILD_CRASHED", "The process died with exit code 0."),
        ([["answer", []], ["exit", 4]], "CHILD_CRASHED", "The process died with exit code 4."),
        (
            [["answer", {"result": None}], ["exit", 4]],
            "CHILD_CRASHED",
            "The process died with exit code 4.",
        ),
    ],
)
async def test_a_model_that_does_not_load_fails_with_the_reason(
    service: Service, viewer: Viewer, tmp_path: Path, script: list[Step], code: str, message: str
) -> None:
    model = await queued_model(viewer, tmp_path / "m", script)
    await perform(service, Work.CHECK_MODEL, model.id)
    failed = await BaseModel.get(id=model.id)
    assert (failed.status, failed.facts) == (TaskStatus.FAILED, None)
    assert failed.error is not None
    assert (failed.error["code"], failed.error["message"]) == (code, message)


async def test_an_export_is_ready_with_its_result_and_shows_its_progress(
    service: Service, viewer: Viewer
) -> None:
    steps: list[Step] = [["progress", 40.0], ["sleep", 0.4], ["answer", {"result": {"size": 1}}]]
    export = await queued_export(viewer, service, steps)
    running = asyncio.create_task(perform(service, Work.EXPORT, export.id))

    async def is_at_forty() -> bool:
        return (await Export.get(id=export.id)).progress == 40.0

    await eventually(is_at_forty)
    with pytest.raises(Conflict):
        exports.file_path(await Export.get(id=export.id), "model", service.artifacts)
    await running
    ready = await Export.get(id=export.id)
    assert (ready.status, ready.progress, ready.result) == (TaskStatus.READY, 100.0, {"size": 1})


async def test_a_task_that_hangs_is_ended_and_failed(
    quick: Service, viewer: Viewer, tmp_path: Path
) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["ignore_term"], ["hang"]])
    await perform(quick, Work.CHECK_MODEL, model.id)
    failed = await BaseModel.get(id=model.id)
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert (failed.error["code"], failed.error["message"]) == (
        "CHILD_SILENT",
        "The process did not advance for 1 seconds and was ended.",
    )
    assert not is_alive(starts(tmp_path / "m")[0])


async def test_a_task_that_advances_may_take_its_time(quick: Service, viewer: Viewer) -> None:
    steps: list[Step] = [["pulse", 1.8], ["answer", {"result": {"size": 1}}]]
    export = await queued_export(viewer, quick, steps)
    await perform(quick, Work.EXPORT, export.id)
    assert (await Export.get(id=export.id)).status is TaskStatus.READY


async def test_a_row_that_another_holds_is_left_alone(
    service: Service, viewer: Viewer, tmp_path: Path
) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["sleep", 0.3], ["exit", 1]])
    both = (perform(service, Work.CHECK_MODEL, model.id, name) for name in ("one", "two"))
    await asyncio.gather(*both)
    assert (await BaseModel.get(id=model.id)).attempt == 1
    assert len(starts(tmp_path / "m")) == 1


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 12, 20, 40])
async def test_a_leaving_worker_puts_the_row_back_without_counting_a_crash(
    service: Service, viewer: Viewer, tmp_path: Path, turns: int
) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["hang"]])
    running = asyncio.create_task(perform(service, Work.CHECK_MODEL, model.id))
    for _ in range(turns):
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    left = await BaseModel.get(id=model.id)
    assert (left.status, left.crashes, left.worker_id) == (TaskStatus.QUEUED, 0, None)
    assert not any(map(is_alive, starts(tmp_path / "m")))


async def test_who_loses_the_lease_ends_the_child_and_writes_nothing(
    service: Service, viewer: Viewer, tmp_path: Path
) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["hang"]])
    running = asyncio.create_task(perform(service, Work.CHECK_MODEL, model.id))
    await eventually(lambda: bool(starts(tmp_path / "m")))
    await BaseModel.filter(id=model.id).update(status=TaskStatus.QUEUED, worker_id=None)
    await running
    assert (await BaseModel.get(id=model.id)).status is TaskStatus.QUEUED
    await eventually(lambda: not is_alive(starts(tmp_path / "m")[0]))


async def test_lapsed_rows_are_tried_again_until_they_fail(viewer: Viewer, tmp_path: Path) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["exit", 0]])
    assert await tasks.requeue_lapsed(Work.CHECK_MODEL, 3) == [(model.id, 1)]
    for crash in (1, 2, 3):
        await _pretend_that_its_worker_died(model.id, crash)
        again = await tasks.requeue_lapsed(Work.CHECK_MODEL, 3)
        assert again == ([(model.id, crash + 1)] if crash < 3 else [])
    failed = await BaseModel.get(id=model.id)
    assert (failed.status, failed.crashes) == (TaskStatus.FAILED, 3)
    assert failed.error is not None
    assert failed.error["code"] == "WORKER_LOST"


async def _pretend_that_its_worker_died(model_id: UUID, attempt: int) -> None:
    await BaseModel.filter(id=model_id).update(
        status=TaskStatus.RUNNING,
        worker_id="dead",
        attempt=attempt,
        lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
    )


async def test_a_row_whose_lease_holds_is_not_requeued(viewer: Viewer, tmp_path: Path) -> None:
    model = await queued_model(viewer, tmp_path / "m", [["exit", 0]])
    await BaseModel.filter(id=model.id).update(
        status=TaskStatus.RUNNING,
        worker_id="alive",
        lease_expires_at=datetime.now(UTC) + timedelta(seconds=5),
    )
    assert await tasks.requeue_lapsed(Work.CHECK_MODEL, 3) == []
    row = await BaseModel.get(id=model.id)
    assert (row.status, row.worker_id, row.crashes) == (TaskStatus.RUNNING, "alive", 0)


async def test_an_export_is_refused_for_a_version_one_may_not_see_or_without_an_adapter(
    service: Service, viewer: Viewer
) -> None:
    version = await version_of(viewer, service, [["exit", 0]])
    ask = partial(exports.request, queue=service.queue, lease_seconds=30)
    stranger = await make_viewer()
    with pytest.raises(NotFound):
        await ask(stranger, version.id, ExportRequest(ExportFormat.SAFETENSORS))
    whole = RESULT.model_copy(update={"adapter": False})
    await ModelVersion.filter(id=version.id).update(result=whole.model_dump(mode="json"))
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, version.id, ExportRequest(ExportFormat.ONNX, adapter_only=True))
    assert [each.code for each in caught.value.findings] == ["NO_ADAPTER"]
    assert await Export.all().count() == 0
    export = await ask(viewer, version.id, ExportRequest(ExportFormat.SAFETENSORS))
    with pytest.raises(NotFound):
        await exports.get(stranger, export.id)
    assert [row.id for row in await exports.of_version(viewer, version.id)] == [export.id]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (
            ExportRequest(ExportFormat.PYTORCH, adapter_only=True, weight_type=WeightType.INT8),
            {
                "ADAPTER_NOT_OFFERED": "PYTORCH holds whole models; an adapter alone goes with "
                "GGUF, SAFETENSORS.",
                "WEIGHT_TYPE_NOT_OFFERED": "PYTORCH does not store weights as INT8 and chooses by "
                "itself.",
            },
        ),
        (
            ExportRequest(ExportFormat.GGUF, adapter_only=True, weight_type=WeightType.Q8_0),
            {
                "ADAPTER_STAYS_AS_IT_IS": "An adapter alone is stored as it was trained, and not "
                "as Q8_0."
            },
        ),
        (
            ExportRequest(ExportFormat.ONNX, shard_bytes=2_000_000),
            {"NOT_SHARDED": "ONNX has its weights in one file."},
        ),
        (
            ExportRequest(ExportFormat.SAFETENSORS, shard_bytes=999_999),
            {"SHARDS_TOO_SMALL": "shardBytes is 999999, below 1000000."},
        ),
        (
            ExportRequest(ExportFormat.PYTORCH, merge_base=MergeBase.ORIGINAL),
            {"MERGE_BASE_NOT_OFFERED": "LORA trains beside a base that is not quantised."},
        ),
    ],
)
async def test_what_a_format_does_not_do_is_refused_all_at_once(
    service: Service, viewer: Viewer, wanted: ExportRequest, found: dict[str, str]
) -> None:
    version = await version_of(viewer, service)
    with pytest.raises(InvalidInput) as caught:
        await exports.request(viewer, version.id, wanted, queue=service.queue, lease_seconds=30)
    assert {each.code: each.message for each in caught.value.findings} == found
    assert await Export.all().count() == 0


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (
            ExportFormat.ONNX,
            "it computes all of its experts at once, which no operation of ONNX does.",
        ),
        (ExportFormat.GGUF, "known are GPT2LMHeadModel, Gemma2ForCausalLM, LlamaForCausalLM, "),
    ],
)
async def test_a_model_that_a_format_cannot_express_is_refused_when_it_is_asked_for(
    service: Service, viewer: Viewer, wanted: ExportFormat, reason: str
) -> None:
    version = await version_of(viewer, service)
    mixed = {"architecture": "MixtralForCausalLM", "fused_experts": True}
    facts = FACTS.model_copy(update=mixed).model_dump(mode="json")
    await BaseModel.filter(id=version.model_id).update(facts=facts)
    ask = partial(exports.request, queue=service.queue, lease_seconds=30)
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, version.id, ExportRequest(wanted))
    (finding,) = caught.value.findings
    assert finding.code == "NOT_EXPORTABLE"
    assert finding.message.startswith(f"MixtralForCausalLM cannot be written as {wanted}: {reason}")
    await ask(viewer, version.id, ExportRequest(ExportFormat.SAFETENSORS))
    assert await Export.all().count() == 1


async def test_a_format_that_no_worker_can_write_is_refused_until_one_can(
    service: Service, viewer: Viewer
) -> None:
    version = await version_of(viewer, service)
    ask = partial(exports.request, queue=service.queue, lease_seconds=30)
    wanted = ExportRequest(ExportFormat.GGUF)
    await ask(viewer, version.id, wanted)  # it waits for a worker, none of which is there
    present = partial(say_present, devices=1, devices_in_use=0, slots=1)
    await present("first", export_formats=[ExportFormat.SAFETENSORS, ExportFormat.ONNX])
    with pytest.raises(InvalidInput) as caught:
        await ask(viewer, version.id, wanted)
    (finding,) = caught.value.findings
    assert (finding.code, finding.path) == ("EXPORTER_UNAVAILABLE", ("format",))
    assert finding.message == "GGUF needs gguf, llama_cpp, which no worker that is there has."
    assert finding.remedy is not None
    assert "tunery[gguf]" in finding.remedy
    await ask(viewer, version.id, ExportRequest(ExportFormat.ONNX))
    await present("second", export_formats=[ExportFormat.GGUF])
    await ask(viewer, version.id, wanted)
    assert await Export.all().count() == 3


async def test_an_adapter_of_qlora_is_merged_into_the_base_that_was_chosen(
    service: Service, viewer: Viewer
) -> None:
    version = await version_of(viewer, service)
    config = resolve(TrainingType.QLORA, {}).model_dump(mode="json")
    await ModelVersion.filter(id=version.id).update(config=config)
    ask = partial(exports.request, queue=service.queue, lease_seconds=30)
    for merge_base in (None, MergeBase.QUANTISED, MergeBase.ORIGINAL):
        wanted = ExportRequest(ExportFormat.SAFETENSORS, merge_base=merge_base)
        export = await ask(viewer, version.id, wanted)
        folder = service.artifacts.export(export.id)
        await ExportVersion().command(export.id, folder, service.artifacts)
        spec = ExportSpec.model_validate_json((folder / "export.json").read_bytes())
        original = merge_base is MergeBase.ORIGINAL
        assert (spec.quantised, spec.merged_into_original) == (not original, original)
    alone = ExportRequest(
        ExportFormat.SAFETENSORS, adapter_only=True, merge_base=MergeBase.ORIGINAL
    )
    with pytest.raises(InvalidInput, match="An adapter alone is merged into nothing"):
        await ask(viewer, version.id, alone)


async def test_a_hundred_exports_asked_at_once_are_queued_and_made_one_after_the_other(
    service: Service, viewer: Viewer
) -> None:
    steps: list[Step] = [["sleep", 0.05], ["answer", {"result": {"size": 1}}]]
    version = await version_of(viewer, service, steps)
    wanted = ExportRequest(ExportFormat.SAFETENSORS)
    asked = (
        exports.request(viewer, version.id, wanted, queue=service.queue, lease_seconds=30)
        for _ in range(100)
    )
    await asyncio.gather(*asked)
    assert await Export.filter(status=TaskStatus.QUEUED).count() == 100
    pool = open_pool(0, 1, ())
    lane = open_lanes("worker", service.settings, service.queue, pool)[Work.EXPORT]
    running = asyncio.create_task(lane.run())
    at_once: set[int] = set()

    async def some_are_ready() -> bool:
        at_once.add(await Export.filter(status=TaskStatus.RUNNING).count())
        return await Export.filter(status=TaskStatus.READY).count() >= 5

    await eventually(some_are_ready)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert max(at_once) == 1
    ready = await Export.filter(status=TaskStatus.READY).count()
    assert await Export.filter(status=TaskStatus.QUEUED).count() >= 99 - ready
    assert len(starts(service.artifacts.resolve(version.path))) <= ready + 1


async def test_an_exporter_that_dies_leaves_no_half_file_and_a_reason(
    service: Service, viewer: Viewer
) -> None:
    export = await queued_export(viewer, service, [["touch", ".files.partial"], ["die"]])
    await perform(service, Work.EXPORT, export.id)
    failed = await Export.get(id=export.id)
    assert (failed.status, failed.result) == (TaskStatus.FAILED, None)
    assert failed.error is not None
    assert failed.error["code"] == "CHILD_CRASHED"
    left = {path.name for path in service.artifacts.export(export.id).iterdir()}
    assert left == {"export.json", "task.log"}
    with pytest.raises(Conflict):
        exports.file_path(failed, "model.safetensors", service.artifacts)


async def test_only_files_of_a_ready_export_have_a_place(service: Service, viewer: Viewer) -> None:
    export = await queued_export(viewer, service, [["exit", 0]])
    with pytest.raises(Conflict):
        exports.file_path(export, "model.safetensors", service.artifacts)
    export.status, export.result = TaskStatus.READY, EXPORTED.model_dump(mode="json")
    place = exports.file_path(export, "model.safetensors", service.artifacts)
    assert place == service.artifacts.export(export.id) / "files" / "model.safetensors"
    for name in ("", "other", "../../../tunery.db", "/etc/passwd", "../export.json"):
        with pytest.raises(NotFound):
            exports.file_path(export, name, service.artifacts)


@pytest.mark.parametrize("method", TrainingType)
async def test_an_exporter_is_told_of_a_base_in_four_bits(
    service: Service, viewer: Viewer, method: TrainingType
) -> None:
    export = await queued_export(viewer, service)
    version = await ModelVersion.get(id=export.version_id)
    config = resolve(method, {}).model_dump(mode="json")
    await ModelVersion.filter(id=version.id).update(config=config)
    folder = service.artifacts.export(export.id)
    await ExportVersion().command(export.id, folder, service.artifacts)
    spec = ExportSpec.model_validate_json((folder / "export.json").read_bytes())
    assert spec.quantised is (method is TrainingType.QLORA)
    assert spec.job_path == str(service.artifacts.job(version.job_id))
    assert (spec.weight_type, spec.shard_bytes) == (None, SHARD_BYTES)


async def test_an_exporter_is_told_what_was_asked_for(service: Service, viewer: Viewer) -> None:
    version = await version_of(viewer, service)
    for wanted in (
        ExportRequest(ExportFormat.ONNX, weight_type=WeightType.INT8),
        ExportRequest(ExportFormat.SAFETENSORS, shard_bytes=1_000_000),
    ):
        export = await exports.request(
            viewer, version.id, wanted, queue=service.queue, lease_seconds=30
        )
        folder = service.artifacts.export(export.id)
        await ExportVersion().command(export.id, folder, service.artifacts)
        spec = ExportSpec.model_validate_json((folder / "export.json").read_bytes())
        assert (spec.format, spec.weight_type) == (wanted.format, wanted.weight_type)
        assert spec.shard_bytes == (wanted.shard_bytes or SHARD_BYTES)
