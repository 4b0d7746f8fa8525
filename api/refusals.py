"""What the server answers where there is no GraphQL result: JSON in the shape of GraphQL errors."""

import logging
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from jobs.errors import TuneryError, WrongOffset

__all__ = ["HANDLERS", "refusal"]

logger = logging.getLogger(__name__)

_CODES: Final[Mapping[int, str]] = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
}
_STATUSES: Final[Mapping[str, int]] = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "UNAVAILABLE": 503,
    "WRONG_OFFSET": 409,
    "UPLOAD_BUSY": 409,
    "QUOTA_EXCEEDED": 413,
    "TOO_LARGE": 413,
    "LENGTH_MISSING": 411,
    "CHECKSUM_MISMATCH": 422,
    "INTERRUPTED": 408,
    "STORAGE_FULL": 507,
}


def refusal(
    status: int,
    message: str,
    *,
    code: str | None = None,
    remedy: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as a GraphQL client understands it, with the HTTP status."""
    extensions = {"code": code or _CODES.get(status, "HTTP_ERROR")}
    if remedy is not None:
        extensions["remedy"] = remedy
    body = {"errors": [{"message": message, "extensions": extensions}]}
    return JSONResponse(body, status, headers=headers)


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = _MESSAGES.get(error.status_code, error.detail)
    return refusal(error.status_code, message, headers=error.headers)


async def _expected(_request: Request, error: Exception) -> Response:
    if not isinstance(error, TuneryError):
        raise error
    headers = {"upload-offset": str(error.offset)} if isinstance(error, WrongOffset) else None
    status = _STATUSES.get(error.code, 400)
    return refusal(status, error.message, code=error.code, remedy=error.remedy, headers=headers)


async def _unexpected(_request: Request, error: Exception) -> Response:
    correlation_id = uuid4().hex
    logger.error("unexpected error %s", correlation_id, exc_info=error)
    message = f"Something went wrong in the service; its log has more under {correlation_id}."
    return refusal(500, message, code="INTERNAL")


_MESSAGES: Final[Mapping[int, str]] = {
    404: "There is nothing at this address. The API is at /graphql.",
    405: "This address does not take this method.",
    413: "The body is too large; TUNERY_MAX_BODY_BYTES sets the limit.",
}

HANDLERS: Final[Mapping[object, ExceptionHandler]] = {
    HTTPException: _refused,
    TuneryError: _expected,
    Exception: _unexpected,
}
