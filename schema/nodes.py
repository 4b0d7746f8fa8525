"""What everything with an id has in common."""

from typing import TypeVar

import strawberry

__all__ = ["Failure", "Node", "Sample", "failure", "required"]

NodeT = TypeVar("NodeT")


@strawberry.interface(description="A thing with an id; `node` finds it again.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque, and unique over all kinds.")


@strawberry.type(description="Why something failed.")
class Failure:
    code: str = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What went wrong, with the value; for people.")
    remedy: str | None = strawberry.field(description="What to do about it, where that is known.")


@strawberry.type(description="A prompt, and what the model answers before and after training.")
class Sample:
    prompt: str = strawberry.field(description="The prompt, as it was given.")
    before: str | None = strawberry.field(
        description="The answer of the model that the run started from."
    )
    after: str | None = strawberry.field(
        description="The answer of the trained model; null until there is one."
    )

    @classmethod
    def of(cls, stored: dict[str, str | None]) -> "Sample":
        return cls(
            prompt=stored["prompt"] or "", before=stored.get("before"), after=stored.get("after")
        )


def failure(stored: dict[str, str | None] | None) -> Failure | None:
    """A stored `training.events.Failure`, where there is one."""
    if stored is None:
        return None
    return Failure(
        code=stored["code"] or "", message=stored["message"] or "", remedy=stored.get("remedy")
    )


def required(node: NodeT | None) -> NodeT:
    """A related thing that the database guarantees; LookupError if the guarantee was broken."""
    if node is None:
        raise LookupError("a row refers to another that is gone")
    return node
