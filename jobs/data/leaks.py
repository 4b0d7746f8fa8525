"""Records of one dataset that are in another too, or nearly, by what their examinations have kept."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from jobs.artifacts import Artifacts
from jobs.errors import Unavailable
from jobs.processes.companion import Companion, Unanswered
from training.data.doctor.report import Leaks
from training.data.doctor.spec import KEPT
from training.preview.questions import ComparisonQuestion, Kind, LeaksAnswer, WhyUnknown

__all__ = ["NOT_EXAMINED", "FoundLeaks", "are_examined", "between", "why"]

NOT_EXAMINED: Final = (
    "It is told once the records are examined; the examination of a dataset says how that stands."
)
_TOO_MANY: Final = "There are too many records to be compared while you wait."


@dataclass(frozen=True)
class FoundLeaks:
    """The records of one dataset that are in another; one of the two is given."""

    leaks: Leaks | None = None
    unknown: str | None = None
    """Why they are not known."""


async def between(
    ours: UUID, others: UUID, *, artifacts: Artifacts, companion: Companion
) -> FoundLeaks:
    """The records of `ours` that are in `others`, too, or nearly. No failure to tell is an error."""
    folders = [str(artifacts.examination(each)) for each in (ours, others)]
    if not await asyncio.to_thread(are_examined, *folders):
        return FoundLeaks(unknown=NOT_EXAMINED)
    question = ComparisonQuestion(ours=folders[0], others=folders[1])
    try:
        answer = await companion.ask(Kind.COMPARISON, question, LeaksAnswer)
    except Unanswered as error:
        return FoundLeaks(unknown=error.failure.message)
    except Unavailable as error:
        return FoundLeaks(unknown=error.message)
    return FoundLeaks(answer.leaks, None if answer.leaks else why(answer))


def are_examined(*folders: str) -> bool:
    """Whether the examinations in these folders have kept what records are compared by."""
    return all((Path(folder) / KEPT).is_file() for folder in folders)


def why(answer: LeaksAnswer) -> str:
    """Why nothing was found, for people."""
    return _TOO_MANY if answer.unknown is WhyUnknown.TOO_MANY else NOT_EXAMINED
