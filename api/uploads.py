"""Files sent by plain HTTP: `PUT` adds a part, `HEAD` tells where the next one begins."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.data.arrival import Part, receive
from jobs.errors import LengthMissing, NotFound
from jobs.models import Upload
from jobs.service import Service
from jobs.status import UploadStatus

__all__ = ["routes"]

_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/([1-9]\d{0,17})", re.ASCII)


def routes(service: Callable[[], Service]) -> list[Route]:
    """`/uploads/{token}`: a link for one upload, good until that expires."""

    async def put(request: Request) -> Response:
        upload_id = service().tokens.read_upload(request.path_params["token"])
        part = _part(request.headers)
        try:
            upload = await receive(
                upload_id,
                part,
                aiter(request.stream()),
                artifacts=service().artifacts,
                settings=service().settings,
            )
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        body = {"receivedBytes": upload.received_bytes, "sha256": upload.sha256}
        status = 200 if upload.status is UploadStatus.READY else 202
        return JSONResponse(body, status, headers=_state(upload))

    async def head(request: Request) -> Response:
        upload_id = service().tokens.read_upload(request.path_params["token"])
        upload = await Upload.get_or_none(id=upload_id)
        if upload is None:
            raise NotFound("upload", upload_id)
        return Response(status_code=204, headers=_state(upload))

    return [
        Route("/uploads/{token}", put, methods=["PUT"]),
        Route("/uploads/{token}", head, methods=["HEAD"]),
    ]


def _part(headers: Mapping[str, str]) -> Part:
    """Which bytes a request brings; without a range, the whole file."""
    given = headers.get("content-length", "")
    length = int(given) if given.isdecimal() else None
    if "content-range" not in headers:
        if length is None:
            raise LengthMissing("Neither Content-Length nor Content-Range tells the file's size.")
        if length == 0:
            raise HTTPException(400, "An empty file cannot be uploaded.")
        return Part(0, length, length)
    part = _range(headers["content-range"])
    if part is None or length not in (None, part.length):
        raise HTTPException(400, "Content-Range must be `bytes FIRST-LAST/SIZE` and fit the body.")
    return part


def _range(given: str) -> Part | None:
    """The bytes that a Content-Range names; `bytes */SIZE` says that none is missing."""
    found = _RANGE.fullmatch(given)
    if found is None:
        return None
    total = int(found[3])
    if found[1] is None:
        return Part(total, 0, total)
    first, last = int(found[1]), int(found[2])
    return Part(first, last + 1 - first, total) if first <= last < total else None


def _state(upload: Upload) -> dict[str, str]:
    complete = upload.status is UploadStatus.READY
    state = {
        "upload-offset": str(upload.received_bytes),
        "upload-complete": "?1" if complete else "?0",
    }
    if upload.size_bytes is not None:
        state["upload-length"] = str(upload.size_bytes)
    return state
