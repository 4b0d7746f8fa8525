"""Files of exports, by a signed link that names one file and holds for some minutes."""

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from jobs import exports
from jobs.errors import NotFound
from jobs.models import Export
from jobs.service import Service

__all__ = ["routes"]


def routes(service: Callable[[], Service]) -> list[Route]:
    """`/downloads/{token}`: the file, whole or in ranges."""

    async def download(request: Request) -> Response:
        export_id, name = service().tokens.read_download(request.path_params["token"])
        export = await Export.get_or_none(id=export_id)
        if export is None:
            raise NotFound("export", export_id)
        path = exports.file_path(export, name, service().artifacts)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("file of this export", name)
        return FileResponse(path, filename=PurePosixPath(name).name)

    return [Route("/downloads/{token}", download, methods=["GET"])]
