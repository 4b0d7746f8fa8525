"""Ids and scalars."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from graphql import GraphQLError

from jobs.errors import NotFound
from schema import ids
from schema.scalars import SCALARS, BigInt

KEY = UUID("12345678123456781234567812345678")


def test_an_id_bears_its_kind_and_finds_its_key_again() -> None:
    given = ids.encode(ids.Kind.JOB, KEY)
    assert given == "job_12345678123456781234567812345678"
    assert ids.decode(ids.Kind.JOB, given) == KEY
    assert ids.parse(given) == (ids.Kind.JOB, KEY)


@pytest.mark.parametrize(
    "given",
    [
        "dataset_12345678123456781234567812345678",
        "12345678123456781234567812345678",
        "12345678-1234-5678-1234-567812345678",
        "job_12345678-1234-5678-1234-567812345678",
        "job_1234567812345678123456781234567g",
        "job_",
        "",
        "job_' OR 1=1 --",
        "\0" * 40,
    ],
)
def test_an_id_of_another_kind_or_shape_names_nothing(given: str) -> None:
    with pytest.raises(NotFound):
        ids.decode(ids.Kind.JOB, given)


def test_times_are_written_in_utc_and_read_with_their_zone() -> None:
    scalar = SCALARS[datetime]
    moment = datetime(2026, 1, 31, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert scalar.serialize is not None
    assert scalar.parse_value is not None
    assert scalar.serialize(moment) == "2026-01-31T12:00:00Z"
    assert scalar.parse_value("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    for given in ("2026-01-31T12:00:00", "yesterday", 5):
        with pytest.raises(GraphQLError):
            scalar.parse_value(given)


def test_big_integers_pass_where_int_ends() -> None:
    scalar = SCALARS[BigInt]
    assert scalar.serialize is not None
    assert scalar.parse_value is not None
    assert scalar.serialize(2**63) == 2**63
    assert scalar.parse_value("9223372036854775808") == 2**63
    for given in (True, 1.5, "1.5", None, "9" * 5000):
        with pytest.raises(GraphQLError):
            scalar.parse_value(given)
