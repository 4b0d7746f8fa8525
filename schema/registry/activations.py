"""Versions in production: putting one there, returning to an earlier one, and the history of it."""

from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from jobs.models import Activation as ActivationRow
from jobs.registry import activation
from jobs.registry.activation import Wish
from schema import ids
from schema.accounts import User
from schema.context import Info
from schema.enums import ActivationKind, Role
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from schema.registry.versions import ModelVersion

__all__ = ["Activation", "ActivationMutations"]

ModelName: TypeAlias = Annotated[str, strawberry.argument(description="The model's name.")]


@strawberry.type(description="One change of a model's version in production.")
class Activation:
    number: int = strawberry.field(description="Which change of this model it is, from 1.")
    kind: ActivationKind = strawberry.field(description="How it came about.")
    version_name: str = strawberry.field(
        description="The name of the version that it put into production; kept when that is deleted."
    )
    reason: str | None = strawberry.field(description="Why, if it was said.")
    forced: bool = strawberry.field(
        description="Whether it was done although the version did not pass the model's gate."
    )
    at: datetime = strawberry.field(description="When.")
    row: strawberry.Private[ActivationRow]

    @classmethod
    def of(cls, row: ActivationRow) -> "Activation":
        return cls(
            number=row.number,
            kind=row.kind,
            version_name=row.version_name,
            reason=row.reason,
            forced=row.forced,
            at=row.created_at,
            row=row,
        )

    @strawberry.field(
        description="The version that it put into production; null if it was deleted or is not yours."
    )
    async def version(self, info: Info) -> ModelVersion | None:
        key = self.row.version_id
        return None if key is None else await info.context.loaders.versions.load(key)

    @strawberry.field(
        description="The version that was there before; null if there was none, it was deleted or "
        "is not yours."
    )
    async def previous(self, info: Info) -> ModelVersion | None:
        key = self.row.previous_id
        return None if key is None else await info.context.loaders.versions.load(key)

    @strawberry.field(description="Who did it; null if that is not you, unless ADMIN.")
    async def by(self, info: Info) -> User | None:
        key = self.row.actor_id
        return None if key is None else await info.context.loaders.users.load(key)


@strawberry.input(description="A version to be put into production.")
class ActivateModelVersionInput:
    model_version_id: strawberry.ID = strawberry.field(
        description="The version: READY, or DEPRECATED if it was there before."
    )
    reason: str | None = strawberry.field(
        default=None, description="Why, for the history: at most 1000 characters."
    )
    force: bool = strawberry.field(
        default=False,
        description="Whether to do it although the version does not pass the model's gate; it takes "
        "a reason.",
    )
    expected_active_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Do it only if this is the ACTIVE version until then; whichever is, where left "
        "out.",
    )

    def wish(self) -> Wish:
        expected = self.expected_active_id
        return Wish(
            reason=self.reason,
            force=self.force,
            expected_id=None if expected is None else ids.decode(ids.Kind.VERSION, expected),
        )


ActivateModelVersionResult: TypeAlias = Annotated[
    Activation | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("ActivateModelVersionResult", description="The change, or why there is none."),
]
RollbackModelResult: TypeAlias = Annotated[
    Activation | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("RollbackModelResult", description="The change, or why there is none."),
]


@strawberry.type
class ActivationMutations:
    @strawberry.mutation(
        description="Put a version into production. The one that was there becomes DEPRECATED. Refused "
        "where the model's gate keeps it back, or two are asked for at once.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def activate_model_version(
        self,
        info: Info,
        sent: Annotated[
            ActivateModelVersionInput,
            strawberry.argument(name="input", description="The version, and why."),
        ],
    ) -> ActivateModelVersionResult:
        key = ids.decode(ids.Kind.VERSION, sent.model_version_id)
        return Activation.of(await activation.activate(info.context.viewer, key, sent.wish()))

    @strawberry.mutation(
        description="Return to the version that was in production before the present one; asked "
        "again, to the one before that. No gate keeps it back.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def rollback_model(
        self,
        info: Info,
        model_name: ModelName,
        reason: Annotated[
            str | None, strawberry.argument(description="Why, for the history.")
        ] = None,
    ) -> RollbackModelResult:
        viewer = info.context.viewer
        return Activation.of(await activation.roll_back(viewer, model_name, reason))
