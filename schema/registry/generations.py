"""Trying versions: a conversation that one goes on with, word by word or as a whole."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import strawberry

from jobs.models import Generation as GenerationRow
from jobs.registry import generations
from jobs.registry.generations import Wanted
from schema import ids
from schema.context import Info
from schema.enums import Ending as EndingKind
from schema.enums import Role, Speaker, TaskStatus
from schema.nodes import Failure, Node, failure, required
from schema.permissions import Requires
from schema.problems import ConflictProblem, InvalidProblem, NotFoundProblem, NullIfNotFound
from schema.runs.following import while_authenticated
from training.serving.spec import Ended

if TYPE_CHECKING:  # a version has a latency and an answer its version: a circle of types only
    from schema.registry.versions import ModelVersion

__all__ = [
    "Generation",
    "GenerationMutations",
    "GenerationQueries",
    "GenerationSubscriptions",
]

WAIT_SECONDS: Final = 25.0
"""Less than an operation may take."""


@strawberry.type(description="How an answer ended, and what it took. Times are in seconds.")
class AnswerEnding:
    reason: EndingKind = strawberry.field(description="Why it ended.")
    prompt_tokens: int = strawberry.field(description="Tokens of the conversation, as rendered.")
    answer_tokens: int = strawberry.field(description="Tokens of the answer.")
    loading_seconds: float = strawberry.field(
        description="Until the model was loaded; nearly nothing where it was warm."
    )
    first_seconds: float = strawberry.field(
        description="From then on, until the first token of the answer."
    )
    seconds: float = strawberry.field(description="From then on, until the last one.")

    @classmethod
    def of(cls, found: Ended) -> "AnswerEnding":
        return cls(
            reason=found.ending,
            prompt_tokens=found.prompt_tokens,
            answer_tokens=found.answer_tokens,
            loading_seconds=found.loading_seconds,
            first_seconds=found.first_seconds,
            seconds=found.seconds,
        )


@strawberry.type(description="A conversation that a version goes on with.")
class Generation(Node):
    status: TaskStatus = strawberry.field(description="READY once the answer is whole.")
    text: str = strawberry.field(description="The answer, as far as there is one.")
    of_base: bool = strawberry.field(
        description="Whether the version's base model answers instead of it."
    )
    ending: AnswerEnding | None = strawberry.field(description="Null until READY.")
    error: Failure | None = strawberry.field(description="Why it FAILED.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    row: strawberry.Private[GenerationRow]

    @classmethod
    def of(cls, row: GenerationRow) -> "Generation":
        return cls(
            id=ids.encode(ids.Kind.GENERATION, row.id),
            status=row.status,
            text=row.text,
            of_base=row.of_base,
            ending=AnswerEnding.of(Ended.model_validate(row.ending)) if row.ending else None,
            error=failure(row.error),
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="The version that answers, or whose base does.")
    async def model_version(
        self, info: Info
    ) -> Annotated["ModelVersion", strawberry.lazy("schema.registry.versions")]:
        return required(await info.context.loaders.versions.load(self.row.version_id))


@strawberry.type(description="What there is of an answer, and what is new of it.")
class GenerationUpdate:
    new_text: str = strawberry.field(
        description="What came since the last update: all of them in order are the answer."
    )
    generation: Generation = strawberry.field(description="It as it stands.")


@strawberry.input(description="A turn of a conversation.")
class MessageInput:
    role: Speaker = strawberry.field(description="Whose turn it is.")
    content: str = strawberry.field(description="What is said.")


@strawberry.input(description="How an answer is drawn.")
class GenerationParameters:
    max_new_tokens: int = strawberry.field(
        default=256, description="Tokens of the answer at most, 1 to 8192."
    )
    temperature: float = strawberry.field(
        default=0.0, description="0 always takes the likeliest token; up to 5."
    )
    top_p: float = strawberry.field(
        default=1.0,
        description="Tokens are drawn from the likeliest that are so probable together.",
    )
    seed: int = strawberry.field(default=0, description="Decides what is drawn.")
    stop: list[str] = strawberry.field(
        default_factory=list,
        description="Texts at which the answer ends, at most 8; they are part of it.",
    )


@strawberry.input(description="A conversation to be gone on with.")
class GenerateInput:
    version_id: strawberry.ID = strawberry.field(description="The version that is to answer.")
    messages: list[MessageInput] = strawberry.field(
        description="The turns so far, the user's last."
    )
    of_base: bool = strawberry.field(
        default=False,
        description="Whether the version's base model is to answer, rendered by the version's "
        "template.",
    )
    parameters: GenerationParameters | None = strawberry.field(
        default=None, description="The defaults, where left out."
    )

    def wanted(self) -> Wanted:
        return Wanted(
            messages=[{"role": each.role, "content": each.content} for each in self.messages],
            parameters=strawberry.asdict(self.parameters or GenerationParameters()),
            of_base=self.of_base,
        )


GenerateAnswerResult: TypeAlias = Annotated[
    Generation | InvalidProblem | NotFoundProblem | ConflictProblem,
    strawberry.union("GenerateAnswerResult", description="The answer, or why there is none."),
]
Conversation: TypeAlias = Annotated[
    GenerateInput, strawberry.argument(name="input", description="Who is asked, and what.")
]


@strawberry.type
class GenerationQueries:
    @strawberry.field(
        description="An answer that was asked for; null where there is none that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def get_generation(
        self,
        info: Info,
        generation_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="A generation's id.")
        ],
    ) -> Generation | None:
        key = ids.decode(ids.Kind.GENERATION, generation_id)
        return Generation.of(await generations.get(info.context.viewer, key))


@strawberry.type
class GenerationMutations:
    @strawberry.mutation(
        description="Have a version answer, and wait for the whole answer for up to 25 seconds; after "
        "that, follow it by `getGeneration`.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def generate_answer(self, info: Info, sent: Conversation) -> GenerateAnswerResult:
        row = await _requested(info, sent)
        return Generation.of(await generations.whole(row, WAIT_SECONDS))


@strawberry.type
class GenerationSubscriptions:
    @strawberry.subscription(
        description="Have a version answer, and follow the answer as it grows. It ends when the answer "
        "does; who leaves before abandons it.",
        extensions=[Requires(Role.TRAINER)],
    )
    async def generate(
        self, info: Info, sent: Conversation
    ) -> AsyncGenerator[GenerationUpdate, None]:
        row = await _requested(info, sent)
        known = ""
        following = while_authenticated(info.context.viewer, generations.follow(row))
        async with aclosing(following) as rows:
            async for each in rows:
                info.context.forget_rows()
                if not each.text.startswith(known):  # another worker has begun it again
                    continue
                new, known = each.text[len(known) :], each.text
                yield GenerationUpdate(new_text=new, generation=Generation.of(each))


async def _requested(info: Info, sent: GenerateInput) -> GenerationRow:
    return await generations.request(
        info.context.viewer,
        ids.decode(ids.Kind.VERSION, sent.version_id),
        sent.wanted(),
        queue=info.context.service.queue,
    )
