"""Expected failures as typed results: what a mutation's union can hold beside its success.

A resolver lets the error of the jobs floor rise; the handlers below turn it into the problem type
if the field's union has it. Otherwise it becomes a top-level error (`schema.errors`).
"""

from enum import Enum
from typing import Any, Final
from uuid import UUID

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from strawberry.schema.exception_handlers import ExceptionHandler

from jobs.errors import Conflict, InUse, InvalidInput, NotFound
from schema import ids
from schema.enums import Severity, describe
from schema.scalars import JSON
from training import findings as training

__all__ = [
    "HANDLERS",
    "ConflictProblem",
    "Finding",
    "InvalidProblem",
    "NotFoundProblem",
    "NullIfNotFound",
    "Problem",
    "ProblemCode",
]


MAX_SHOWN: Final = 100
"""How much of what a client sent is repeated in a message, in characters."""


class ProblemCode(Enum):
    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    IN_USE = "IN_USE"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"


describe(
    ProblemCode,
    "Why something that was asked for is not done.",
    {
        "INVALID": "The input cannot be taken; the findings say why.",
        "NOT_FOUND": "There is no such thing, or none that you may see.",
        "CONFLICT": "The thing's present state does not allow it.",
        "IN_USE": "Something still needs the thing.",
        "QUOTA_EXCEEDED": "Your uploads, and what is fetched for you, would take up more than they may "
        "together.",
    },
)


@strawberry.interface(description="An expected failure: nothing was changed.")
class Problem:
    code: ProblemCode = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What is wrong, with the value; for people.")
    remedy: str | None = strawberry.field(description="What to do about it, where that is known.")


@strawberry.type(description="One thing to know about an input.")
class Finding:
    severity: Severity = strawberry.field(description="How much it matters.")
    code: str = strawberry.field(description="Stable, for programs.")
    path: list[str] = strawberry.field(description="The place in the input, outermost name first.")
    message: str = strawberry.field(description="What is the matter, with the value.")
    remedy: str = strawberry.field(description="What to do about it.")
    suggested_patch: JSON | None = strawberry.field(
        description="Merged into the input, it settles the finding; null where no input can."
    )

    @classmethod
    def of(cls, finding: training.Finding) -> "Finding":
        patch = finding.suggested_patch
        return cls(
            severity=finding.severity,
            code=finding.code,
            path=list(finding.path),
            message=finding.message,
            remedy=finding.remedy,
            suggested_patch=None if patch is None else JSON(patch),
        )


@strawberry.type(description="The input cannot be taken.")
class InvalidProblem(Problem):
    findings: list[Finding] = strawberry.field(description="Everything that is wrong, at once.")


@strawberry.type(description="There is no such thing, or none that you may see.")
class NotFoundProblem(Problem):
    id: strawberry.ID = strawberry.field(description="The id or name that names nothing.")


@strawberry.type(description="The thing's present state does not allow it.")
class ConflictProblem(Problem):
    blocked_by: list[strawberry.ID] = strawberry.field(
        description="The ids of the training jobs that stand in the way."
    )


class _InvalidHandler(ExceptionHandler[InvalidInput, InvalidProblem]):
    def handle(self, exception: InvalidInput, **_: object) -> InvalidProblem:
        return InvalidProblem(
            code=ProblemCode.INVALID,
            message=exception.message,
            remedy=exception.remedy,
            findings=[Finding.of(finding) for finding in exception.findings],
        )


class _NotFoundHandler(ExceptionHandler[NotFound, NotFoundProblem]):
    def handle(self, exception: NotFound, **_: object) -> NotFoundProblem:
        return NotFoundProblem(
            code=ProblemCode.NOT_FOUND,
            message=not_found_message(exception),
            remedy=exception.remedy,
            id=public_id(exception),
        )


class _ConflictHandler(ExceptionHandler[Conflict, ConflictProblem]):
    def handle(self, exception: Conflict, **_: object) -> ConflictProblem:
        job_ids = exception.job_ids if isinstance(exception, InUse) else ()
        return ConflictProblem(
            code=ProblemCode(exception.code),
            message=exception.message,
            remedy=exception.remedy,
            blocked_by=[ids.encode(ids.Kind.JOB, job_id) for job_id in job_ids],
        )


class NullIfNotFound(FieldExtension):
    """Makes a look-up give null for a thing that does not exist or may not be seen."""

    async def resolve_async(  # type: ignore[override]  # an argument may be called `source` too
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, /, **kwargs: Any
    ) -> Any:
        try:
            return await next_(source, info, **kwargs)
        except NotFound:
            return None


def public_id(error: NotFound) -> strawberry.ID:
    """The id or name as the client knows it: the jobs floor speaks of bare keys."""
    kind = _KINDS.get(error.kind)
    if isinstance(error.key, UUID) and kind is not None:
        return ids.encode(kind, error.key)
    return strawberry.ID(str(error.key))


def not_found_message(error: NotFound) -> str:
    shown = str(public_id(error))
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"
    return f"There is no {error.kind} {shown!r} that you can see."


_KINDS: Final = {kind.value: kind for kind in ids.Kind} | {
    "model version": ids.Kind.VERSION,
    "validation dataset": ids.Kind.DATASET,
    "token examination": ids.Kind.EXAMINATION,
}

HANDLERS: Final = (_InvalidHandler(), _NotFoundHandler(), _ConflictHandler())
