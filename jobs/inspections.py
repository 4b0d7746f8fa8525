"""A look at an upload's beginning before a dataset is made of it."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final
from uuid import UUID

from jobs import uploads
from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.child import Child
from jobs.errors import NotFound
from jobs.ingest import reader_crash
from training.data.containers.prose import Division
from training.data.formats.mapping import Mapping
from training.data.ingest.spec import FileSource, Inspection, InspectionSpec
from training.events import Failure

__all__ = ["Inspector"]

PATIENCE_SECONDS = 10.0
"""A look takes a third of a second; what takes so long is ended."""
AT_ONCE = 2


class Inspector:
    """Looks at uploads, a few at a time: each look is a process of some 40 to 120 MB."""

    def __init__(self, artifacts: Artifacts, *, at_once: int = AT_ONCE) -> None:
        self._artifacts = artifacts
        self._free = asyncio.Semaphore(at_once)

    async def inspect(
        self, viewer: Viewer, upload_id: UUID, *, mapping: Mapping | None, division: Division
    ) -> Inspection:
        """What the upload would be taken for, by the given mapping or the one that is found, and with
        plain text cut like this.

        A process of its own looks, since a stranger's file may do anything to its reader. Raises
        NotFound, and Conflict for an upload that is not whole.
        """
        upload = await uploads.ready(viewer, upload_id)
        path = self._artifacts.uploaded(upload.id)
        if not await asyncio.to_thread(path.is_file):  # it was used up a moment ago
            raise NotFound("upload", upload_id)
        source = FileSource(path=str(path), name=upload.name, division=division)
        spec = InspectionSpec(source=source, mapping=mapping)
        async with self._free:
            with tempfile.TemporaryDirectory(prefix="tunery-inspection-") as folder:
                answer = await _look(spec, Path(folder))
        if isinstance(answer, Failure):
            return Inspection(problem=answer)
        return answer


async def _look(spec: InspectionSpec, folder: Path) -> Inspection | Failure:
    content = spec.model_dump_json()
    await asyncio.to_thread((folder / "inspection.json").write_text, content)
    child = await Child.start(
        "training.data.ingest.inspection", str(folder), log=folder / "task.log", threads=1
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            exit_code = await child.wait()
    except TimeoutError:
        return _SLOW
    finally:
        child.kill()
        await child.wait()
    if exit_code != 0:
        return reader_crash(exit_code) or _unknown(exit_code)
    outcome = json.loads(await asyncio.to_thread((folder / "result.json").read_bytes))
    if outcome.get("error"):
        return Failure.model_validate(outcome["error"])
    return Inspection.model_validate(outcome["result"])


_SLOW: Final = Failure(
    code="INSPECTION_SLOW",
    message=f"The beginning of the file could not be read within {PATIENCE_SECONDS:.0f} seconds.",
    remedy="Make a dataset of it, which may take as long as it needs.",
)


def _unknown(exit_code: int) -> Failure:
    return Failure(
        code="INSPECTION_FAILED",
        message=f"The process that looked at the file ended with exit code {exit_code}.",
        remedy="Ask again; -9 often means too little memory.",
    )
