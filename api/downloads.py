"""Files of exports, and the records of datasets, by a signed link that holds for some minutes."""

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from jobs.data import dataset_files
from jobs.errors import NotFound
from jobs.models import Export
from jobs.registry import exports
from jobs.service import Service

__all__ = ["routes"]


def routes(service: Callable[[], Service]) -> list[Route]:
    """`/downloads/{token}`: the file of an export, whole or in ranges, and
    `/downloads/records/{token}`: a dataset's records as canonical JSONL."""

    async def download(request: Request) -> Response:
        export_id, name = service().tokens.read_download(request.path_params["token"])
        export = await Export.get_or_none(id=export_id)
        if export is None:
            raise NotFound("export", export_id)
        path = exports.file_path(export, name, service().artifacts)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("file of this export", name)
        return FileResponse(path, filename=PurePosixPath(name).name)

    async def records(request: Request) -> Response:
        dataset_id = service().tokens.read_records(request.path_params["token"])
        dataset, path = await dataset_files.records_path(dataset_id, service().artifacts)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("dataset", dataset_id)
        return FileResponse(path, filename=f"{dataset.name}.jsonl", media_type="application/jsonl")

    return [
        Route("/downloads/{token}", download, methods=["GET"]),
        Route("/downloads/records/{token}", records, methods=["GET"]),
    ]
