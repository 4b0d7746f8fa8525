"""`POST /v1/chat/completions`: the version in production, for programs that speak to OpenAI's API.

`model` is a model's name. Fields that have no meaning here are passed over, as other servers do.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from jobs.access import Role, Viewer
from jobs.errors import Forbidden, InvalidInput, TooLarge, TuneryError, Unauthenticated
from jobs.models import Generation
from jobs.registry import activation, generations
from jobs.registry.generations import Wanted
from jobs.service import Service
from jobs.status import TaskStatus
from schema.context import bearer
from training.serving.spec import Ended, Ending

__all__ = ["routes"]

_STATUSES: Final = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "TOO_LARGE": 413,
}
_REASONS: Final = {Ending.STOP: "stop", Ending.LENGTH: "length"}
WAIT_SECONDS: Final = 600.0


class _Turn(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: str
    content: str


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[_Turn]
    stream: bool = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: str | list[str] | None = None
    n: Literal[1] = 1

    def wanted(self) -> Wanted:
        limit = self.max_completion_tokens or self.max_tokens
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        parameters: dict[str, object] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": stop,
        }
        if limit is not None:
            parameters["max_new_tokens"] = limit
        return Wanted([each.model_dump() for each in self.messages], parameters)


def routes(service: Callable[[], Service]) -> list[Route]:
    """The one endpoint that clients of that API need."""

    async def complete(request: Request) -> Response:
        try:
            viewer = await _viewer(request, service())
            asked = await _body(request, service().settings.max_body_bytes)
            version = await activation.active(viewer, asked.model)
            row = await generations.request(
                viewer, version.id, asked.wanted(), queue=service().queue
            )
        except TuneryError as error:
            return _refused(error)
        if asked.stream:
            return StreamingResponse(_streamed(row, asked.model), media_type="text/event-stream")
        answered = await generations.whole(row, WAIT_SECONDS)
        await generations.abandon(row.id)  # what is not done by now, nobody can ask for again
        return _completion(answered, asked.model)

    return [Route("/v1/chat/completions", complete, methods=["POST"])]


async def _viewer(request: Request, service: Service) -> Viewer:
    token = bearer(request.headers.get("authorization"))
    if token is None:
        raise Unauthenticated("This needs an access token.", "Send it as the API key.")
    viewer = await service.tokens.viewer(token)
    if not viewer.role.includes(Role.TRAINER):
        raise Forbidden("To have a version answer takes the role TRAINER.", "Ask an ADMIN.")
    return viewer


async def _body(request: Request, most_bytes: int) -> _Asked:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most_bytes:
            raise TooLarge(f"The body has more than {most_bytes} bytes.", "Send less.")
    try:
        return _Asked.model_validate_json(bytes(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidInput(f"{where}: {first['msg']}.") from error


def _refused(error: TuneryError) -> Response:
    """In the shape that clients of that API read."""
    body = {"message": f"{error.message} {error.remedy or ''}".strip(), "type": error.code}
    return JSONResponse({"error": body}, _STATUSES.get(error.code, 400))


def _completion(row: Generation, model: str) -> Response:
    if row.status is TaskStatus.FAILED:
        return JSONResponse(_failed(row), 500)
    if row.status is not TaskStatus.READY:
        late = {"message": "No worker has answered in time.", "type": "UNAVAILABLE"}
        return JSONResponse({"error": late}, 503)
    ended = Ended.model_validate(row.ending)
    message = {"role": "assistant", "content": row.text}
    return JSONResponse(
        {
            **_head(row, model, "chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": _REASONS[ended.ending]}],
            "usage": {
                "prompt_tokens": ended.prompt_tokens,
                "completion_tokens": ended.answer_tokens,
                "total_tokens": ended.prompt_tokens + ended.answer_tokens,
            },
        }
    )


async def _streamed(row: Generation, model: str) -> AsyncIterator[str]:
    """Server-sent events, a piece each, and `[DONE]`."""
    head = _head(row, model, "chat.completion.chunk")

    def chunk(delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    known = ""
    async with aclosing(generations.follow(row)) as rows:
        async for each in rows:
            if each.text.startswith(known) and each.text != known:
                yield chunk({"content": each.text[len(known) :]})
                known = each.text
            if each.status is TaskStatus.READY:
                yield chunk({}, _REASONS[Ended.model_validate(each.ending).ending])
            if each.status is TaskStatus.FAILED:
                yield f"data: {json.dumps(_failed(each))}\n\n"
    yield "data: [DONE]\n\n"


def _failed(row: Generation) -> dict[str, Any]:
    error = row.error or {}
    return {"error": {"message": error.get("message"), "type": error.get("code")}}


def _head(row: Generation, model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{row.id.hex}",
        "object": kind,
        "created": int(row.created_at.timestamp()),
        "model": model,
    }
