"""A look at an upload's beginning before a dataset is made of it."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from jobs.access import Viewer
from jobs.artifacts import Artifacts
from jobs.data import uploads
from jobs.data.ingest import reader_crash
from jobs.errors import NotFound
from jobs.processes.child import Child
from training.data.containers.prose import Division
from training.data.formats.mapping import Mapping
from training.data.ingest.spec import FileSource, Inspection, InspectionSpec
from training.events import Failure

__all__ = ["Inspector"]

PATIENCE_SECONDS = 10.0
"""A look takes less than a third of a second; what takes so long is ended."""
AT_ONCE = 2


class Inspector:
    """Looks at uploads, a few at a time: each look is a process of some 40 to 120 MB.

    After a look the process of the next is started, since that takes ten times as long as the look.
    It is ended when nobody has asked for a while.
    """

    def __init__(
        self, artifacts: Artifacts, *, at_once: int = AT_ONCE, idle_seconds: float = 300.0
    ) -> None:
        self._artifacts = artifacts
        self._free = asyncio.Semaphore(at_once)
        self._idle_seconds = idle_seconds
        self._spare: asyncio.Task[_Looker] | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._retiring: asyncio.Task[None] | None = None

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
            looker = await self._looker()
            try:
                answer = await looker.look(spec)
            finally:
                await looker.leave()
                self._start_next()
        if isinstance(answer, Failure):
            return Inspection(problem=answer)
        return answer

    async def close(self) -> None:
        """End the process that waits, if there is one."""
        if self._retirement is not None:
            self._retirement.cancel()
        if self._retiring is not None:
            await self._retiring
        await self._end_spare()

    async def _looker(self) -> "_Looker":
        spare = self._spare
        if spare is not None and spare.done():  # else it is for a later look
            self._spare = None
            looker = None if spare.exception() else spare.result()
            if looker is not None and looker.waits:
                return looker
            if looker is not None:
                await looker.leave()
        return await _Looker.start()

    def _start_next(self) -> None:
        loop = asyncio.get_running_loop()
        if self._spare is None:
            self._spare = loop.create_task(_Looker.start())
        if self._retirement is not None:
            self._retirement.cancel()
        self._retirement = loop.call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        self._retiring = asyncio.get_running_loop().create_task(self._end_spare())

    async def _end_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            (looker,) = await asyncio.gather(spare, return_exceptions=True)
            if isinstance(looker, _Looker):
                await looker.leave()


class _Looker:
    """A process that looks once, and waits for that with all its imports done."""

    def __init__(self, child: Child, folder: "tempfile.TemporaryDirectory[str]") -> None:
        self._child = child
        self._folder = folder

    @classmethod
    async def start(cls) -> Self:
        """Start one."""
        folder = tempfile.TemporaryDirectory(prefix="tunery-inspection-")
        place = Path(folder.name)
        arguments = (str(place), "--await-word")
        module = "training.data.ingest.inspection"
        child = await Child.start(module, *arguments, log=place / "task.log", threads=1)
        return cls(child, folder)

    @property
    def waits(self) -> bool:
        """Whether it is still there to look."""
        return self._child.exit_code is None

    async def look(self, spec: InspectionSpec) -> Inspection | Failure:
        """What it sees, or why it saw nothing."""
        place = Path(self._folder.name)
        await asyncio.to_thread((place / "inspection.json").write_text, spec.model_dump_json())
        self._child.begin()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                exit_code = await self._child.wait()
        except TimeoutError:
            return _SLOW
        if exit_code != 0:
            return reader_crash(exit_code) or _unknown(exit_code)
        outcome = json.loads(await asyncio.to_thread((place / "result.json").read_bytes))
        if outcome.get("error"):
            return Failure.model_validate(outcome["error"])
        return Inspection.model_validate(outcome["result"])

    async def leave(self) -> None:
        """End it, wherever it is, with all that it wrote."""
        self._child.kill()
        await self._child.wait()
        await asyncio.to_thread(self._folder.cleanup)


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
