"""Ids as clients see them: the kind of thing and its key, opaque by contract."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import strawberry

from jobs.errors import NotFound

__all__ = ["Kind", "NodeKey", "decode", "encode", "parse"]


class Kind(StrEnum):
    """The kinds of things that have an id; the value is the id's prefix."""

    USER = "user"
    DATASET = "dataset"
    MODEL = "model"
    VERSION = "version"
    JOB = "job"
    CHECKPOINT = "checkpoint"
    EXPORT = "export"
    EVALUATION = "evaluation"
    GENERATION = "generation"
    UPLOAD = "upload"
    EXAMINATION = "examination"


class NodeKey(NamedTuple):
    """What an id names."""

    kind: Kind
    key: UUID


def encode(kind: Kind, key: UUID) -> strawberry.ID:
    """The id of a thing, such as `job_3f2a…`."""
    return strawberry.ID(f"{kind.value}_{key.hex}")


def decode(kind: Kind, given: str) -> UUID:
    """The key in an id of that kind.

    An id of another kind, or none at all, names nothing: `NotFound`, as for one that was deleted.
    """
    node = parse(given)
    if node is None or node.kind is not kind:
        raise NotFound(kind.value, given)
    return node.key


def parse(given: str) -> NodeKey | None:
    """What an id of any kind names; None where it is not one of ours."""
    prefix, _, digits = given.partition("_")
    if len(digits) != 32:
        return None
    try:
        return NodeKey(Kind(prefix), UUID(hex=digits))
    except ValueError:
        return None
