"""Registered base models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar

import strawberry

from jobs.models import BaseModel as ModelRow
from jobs.pages import Page
from jobs.registry import activation, base_models, versions
from schema import ids
from schema.accounts import User
from schema.context import Info
from schema.enums import ChatTemplate, Role, TaskStatus
from schema.nodes import Failure, Node, failure
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.registry.activations import Activation
from schema.registry.gates import ActivationGate, ActivationGateInput
from schema.registry.versions import ModelVersion
from schema.runs.training_jobs import TrainingJob
from schema.scalars import BigInt
from training.models.facts import ModelFacts

__all__ = ["Model", "ModelMutations", "ModelQueries"]

NodeT = TypeVar("NodeT")


@strawberry.type(description="A base model that versions are trained from; every account sees it.")
class Model(Node):
    name: str = strawberry.field(description="Unique in this service.")
    source: str = strawberry.field(description="The folder on the server, or the hub id.")
    status: TaskStatus = strawberry.field(
        description="READY once a process has seen that it loads; only then can it be trained."
    )
    error: Failure | None = strawberry.field(description="Why it does not load, where it FAILED.")
    architecture: str | None = strawberry.field(
        description="Its class, such as LlamaForCausalLM; null until it was looked at."
    )
    parameter_count: BigInt | None = strawberry.field(
        description="How many parameters it has; null until it was looked at."
    )
    layer_count: int | None = strawberry.field(
        description="Its decoder layers, the last of which FREEZE trains; null until it was looked "
        "at, or if not found."
    )
    context_length: int | None = strawberry.field(
        description="The longest input in tokens; null until it was looked at, or if not stated."
    )
    licence: str | None = strawberry.field(
        description="Its licence; null until it was looked at, or if not stated."
    )
    has_chat_template: bool | None = strawberry.field(
        description="Whether it has a chat template of its own; null until it was looked at."
    )
    chat_templates: list[ChatTemplate] | None = strawberry.field(
        description="The templates that can be chosen by name whose end of a turn is one token of it; "
        "null until it was looked at."
    )
    stop_tokens: list[str] | None = strawberry.field(
        description="The tokens at which it stops to generate; null until it was looked at."
    )
    sha256: str | None = strawberry.field(
        description="Of the names and checksums of its configuration, tokenizer and weights, when it was "
        "looked at; null until then."
    )
    created_at: datetime = strawberry.field(description="When it was registered.")
    row: strawberry.Private[ModelRow]

    @classmethod
    def of(cls, row: ModelRow) -> "Model":
        facts = ModelFacts.model_validate(row.facts) if row.facts else None
        return cls(
            id=ids.encode(ids.Kind.MODEL, row.id),
            name=row.name,
            source=row.source,
            status=row.status,
            error=failure(row.error),
            architecture=facts.architecture if facts else None,
            parameter_count=BigInt(facts.parameter_count) if facts else None,
            layer_count=facts.layer_count if facts else None,
            context_length=facts.context_length if facts else None,
            licence=facts.licence if facts else None,
            has_chat_template=facts.has_chat_template if facts else None,
            chat_templates=_listed(facts.chat_templates) if facts else None,
            stop_tokens=_listed(facts.stop_tokens) if facts else None,
            sha256=facts.content_sha256 if facts else None,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="The version in production; null if there is none you may see.")
    async def active_version(self, info: Info) -> ModelVersion | None:
        return await info.context.loaders.active_version.load(self.row.id)

    @strawberry.field(description="Those of its versions that you may see, newest first.")
    async def versions(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[ModelVersion]:
        rows = await versions.listing(info.context.viewer, self.name, Page.of(first, after))
        return connection(rows, ModelVersion.of, after=after)

    @strawberry.field(
        description="How its version in production changed, newest first: all of it for its owner, else "
        "what concerns your own versions."
    )
    async def activations(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Activation]:
        rows = await activation.history(info.context.viewer, self.name, Page.of(first, after))
        return connection(rows, Activation.of, after=after)

    @strawberry.field(description="What a version must be to go into production; null if any may.")
    def gate(self) -> ActivationGate | None:
        return None if self.row.gate is None else ActivationGate.of(self.row.gate)

    @strawberry.field(description="Its unfinished jobs that you may see, oldest first.")
    async def running_jobs(self, info: Info) -> list[TrainingJob]:
        return await info.context.loaders.running_jobs.load(self.row.id)

    @strawberry.field(description="Who registered it; null if that is not you, unless ADMIN.")
    async def owner(self, info: Info) -> User | None:
        return await info.context.loaders.users.load(self.row.owner_id)


def _listed(noted: Sequence[NodeT] | None) -> list[NodeT] | None:
    """What was noted; null for a model that was looked at before it was."""
    return None if noted is None else list(noted)


RegisterModelResult: TypeAlias = Annotated[
    Model | InvalidProblem | ConflictProblem,
    strawberry.union("RegisterModelResult", description="The new model, or why there is none."),
]

SetActivationGateResult: TypeAlias = Annotated[
    Model | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("SetActivationGateResult", description="The model, or why nothing changed."),
]


@strawberry.type
class ModelQueries:
    @strawberry.field(
        description="The registered models, newest first.", extensions=[Requires(Role.VIEWER)]
    )
    async def list_models(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Model]:
        rows = await base_models.listing(info.context.viewer, Page.of(first, after))
        return connection(rows, Model.of, after=after)

    @strawberry.field(
        description="One model by its name; null where there is none.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_model(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="As it was registered.")],
    ) -> Model | None:
        return Model.of(await base_models.find(info.context.viewer, name))


@strawberry.type
class ModelMutations:
    @strawberry.mutation(
        description="Make a model known. A process then checks that it loads: follow `status`.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def register_model(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="A name not in use yet.")],
        source: Annotated[
            str, strawberry.argument(description="A folder on the server, or a hub id.")
        ],
    ) -> RegisterModelResult:
        service = info.context.service
        row = await base_models.register(
            info.context.viewer, name, source, settings=service.settings, queue=service.queue
        )
        return Model.of(row)

    @strawberry.mutation(
        description="Say what versions of a model must be to go into production, or that any may. Its "
        "owner and ADMINs decide.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def set_activation_gate(
        self,
        info: Info,
        model_name: Annotated[str, strawberry.argument(description="The model's name.")],
        gate: Annotated[
            ActivationGateInput | None, strawberry.argument(description="The gate; null for none.")
        ] = None,
    ) -> SetActivationGateResult:
        bounds = None if gate is None else gate.bounds()
        return Model.of(await activation.set_gate(info.context.viewer, model_name, bounds))
