"""Answers of versions: asked for here, made by a worker, followed as they grow.

The row is all there is: a worker writes the text into it as it comes, and who follows it reads on.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from jobs.access import Viewer, visible
from jobs.database import AWAY
from jobs.errors import InvalidInput, NotFound
from jobs.inputs import checked
from jobs.models import Generation
from jobs.queue import Queue, Work
from jobs.registry import versions
from jobs.status import TaskStatus
from training.events import Failure
from training.serving.spec import Message, Parameters

__all__ = ["Wanted", "abandon", "follow", "get", "latency", "remove_old", "request", "whole"]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
MOST_MESSAGES = 200
MOST_CHARACTERS = 200_000
LATEST = 50
_UNFINISHED = (TaskStatus.QUEUED, TaskStatus.RUNNING)
_leaving: set[asyncio.Future[None]] = set()
"""Held until they are done, as the loop itself does not."""


@dataclass(frozen=True)
class Wanted:
    """A conversation to be gone on with, and how."""

    messages: Sequence[object]
    parameters: dict[str, object]
    of_base: bool = False


async def request(viewer: Viewer, version_id: UUID, wanted: Wanted, *, queue: Queue) -> Generation:
    """Queue an answer. NotFound; Conflict where the version is not trained; InvalidInput where the
    messages or parameters make no sense."""
    version = await versions.trained(viewer, version_id)
    parameters = checked(Parameters, wanted.parameters, ("parameters",))
    messages = _checked_messages(wanted.messages)
    generation = await Generation.create(
        version_id=version.id,
        of_base=wanted.of_base,
        messages=[each.model_dump(mode="json") for each in messages],
        parameters=parameters.model_dump(mode="json"),
        owner_id=viewer.user_id,
    )
    await queue.enqueue(Work.ANSWER, generation.id, attempt=1)
    return generation


async def get(viewer: Viewer, generation_id: UUID) -> Generation:
    """One that the viewer asked for; NotFound otherwise."""
    generation = await visible(viewer, Generation.filter(id=generation_id)).first()
    if generation is None:
        raise NotFound("generation", generation_id)
    return generation


async def follow(generation: Generation) -> AsyncGenerator[Generation, None]:
    """It as it stands now and whenever it has grown, until it has ended.

    Whoever stops to listen before that abandons it.
    """
    shown = generation
    try:
        yield shown
        while shown.status in _UNFINISHED:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await Generation.get_or_none(id=generation.id)
            except AWAY as error:
                logger.warning("generation %s cannot be read: %s", generation.id, error)
                continue
            if found is None:
                return
            if found.text != shown.text or found.status is not shown.status:
                shown = found
                yield shown
    finally:
        if shown.status in _UNFINISHED:  # a server that ends a request may cancel this await, too
            leaving = asyncio.ensure_future(abandon(generation.id))
            _leaving.add(leaving)
            leaving.add_done_callback(_leaving.discard)
            await asyncio.shield(leaving)


async def whole(generation: Generation, seconds: float) -> Generation:
    """It once it has ended, or as it is after so long; it goes on then."""
    shown = generation
    deadline = asyncio.get_running_loop().time() + seconds
    while shown.status in _UNFINISHED and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        shown = await Generation.get(id=generation.id)
    return shown


async def abandon(generation_id: UUID) -> None:
    """Let nobody work on it any more."""
    unfinished = Generation.filter(id=generation_id, status__in=_UNFINISHED)
    _ = await unfinished.update(abandoned=True)
    gone = Failure(code="ABANDONED", message="Nobody waited for the answer.", remedy="Ask again.")
    waiting = Generation.filter(id=generation_id, status=TaskStatus.QUEUED)
    _ = await waiting.update(status=TaskStatus.FAILED, error=gone.model_dump(mode="json"))


async def remove_old(seconds: int) -> None:
    """Delete those that were asked for before so long, and are not waited for."""
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    old = Generation.filter(created_at__lt=before, status__not_in=_UNFINISHED)
    _ = await old.delete()


async def latency(version_ids: Sequence[UUID]) -> dict[UUID, float]:
    """The median time of each version's newest answers, in seconds, loading left out."""
    found = {}
    for version_id in version_ids:
        rows = Generation.filter(version_id=version_id, status=TaskStatus.READY, of_base=False)
        newest = await rows.order_by("-created_at").limit(LATEST).only("id", "ending")
        times = sorted(float(row.ending["seconds"]) for row in newest if row.ending)
        if times:
            found[version_id] = times[len(times) // 2]
    return found


def _checked_messages(messages: Sequence[object]) -> list[Message]:
    try:
        found = [Message.model_validate(each) for each in messages]
    except ValidationError as error:
        raise _refused(f"A message is wrong: {error.errors()[0]['msg']}.") from error
    if not 1 <= len(found) <= MOST_MESSAGES:
        raise _refused(f"There are {len(found)} messages.")
    characters = sum(len(each.content) for each in found)
    if characters > MOST_CHARACTERS:
        raise _refused(f"The messages have {characters} characters together.")
    return found


def _refused(message: str) -> InvalidInput:
    return InvalidInput.at(
        ["messages"],
        message,
        code="MESSAGES",
        remedy=f"Send 1 to {MOST_MESSAGES} messages of at most {MOST_CHARACTERS} characters.",
    )
