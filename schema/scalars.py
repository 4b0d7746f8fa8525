"""Scalars beyond the five that GraphQL has."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NewType

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

__all__ = ["JSON", "SCALARS", "BigInt"]

BigInt = NewType("BigInt", int)


def _parse_big_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise GraphQLError(f"BigInt cannot represent {value!r}.")
    try:
        return int(value)
    except ValueError as error:
        raise GraphQLError(f"BigInt cannot represent {value!r}.") from error


def _serialise_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_time(value: object) -> datetime:
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise GraphQLError(f"DateTime cannot represent {value!r}.") from error
    if parsed.tzinfo is None:
        raise GraphQLError(f"DateTime {value!r} names no time zone; end it with Z for UTC.")
    return parsed.astimezone(UTC)


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of any size, such as a number of bytes: Int ends at 2^31 - 1.",
        serialize=int,
        parse_value=_parse_big_int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment in UTC, as ISO 8601: 2026-01-31T12:00:00.123456Z.",
        serialize=_serialise_time,
        parse_value=_parse_time,
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
    ),
}
