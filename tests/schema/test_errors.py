"""Which error a client sees, with which code, and what is kept from it."""

import logging
from uuid import UUID

import pytest
from graphql import GraphQLError

from jobs.errors import (
    Conflict,
    Forbidden,
    InUse,
    InvalidInput,
    NotFound,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from schema.errors import coded
from schema.problems import HANDLERS, ConflictProblem, InvalidProblem, NotFoundProblem

KEY = UUID("12345678123456781234567812345678")


@pytest.mark.parametrize(
    "error",
    [
        Conflict("taken"),
        Forbidden("not you", "Ask."),
        Unauthenticated("who?"),
        Unavailable("away", "Wait."),
        InvalidInput("bad"),
        NotFound("job", KEY),
    ],
    ids=lambda error: error.code,
)
def test_an_expected_error_keeps_its_code_message_and_remedy(error: TuneryError) -> None:
    seen = coded(GraphQLError(str(error), original_error=error), executed=True)
    assert seen.extensions is not None
    assert seen.extensions["code"] == error.code
    assert seen.extensions.get("remedy") == error.remedy
    assert seen.original_error is None


def test_findings_come_along() -> None:
    error = InvalidInput.at(["first"], "`first` is 0.", code="X", remedy="Ask for 1.")
    seen = coded(GraphQLError("x", original_error=error), executed=True)
    assert seen.extensions is not None
    assert seen.extensions["findings"] == [
        {"path": ["first"], "code": "X", "message": "`first` is 0."}
    ]


def test_what_is_not_found_is_named_as_the_client_named_it() -> None:
    for kind, given in (("job", "job_"), ("model version", "version_"), ("dataset", "dataset_")):
        seen = coded(GraphQLError("x", original_error=NotFound(kind, KEY)), executed=True)
        assert seen.message == f"There is no {kind} '{given}{KEY.hex}' that you can see."


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), LookupError("secret")])
def test_any_other_error_is_masked_and_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    for executed in (True, False):
        seen = coded(GraphQLError(str(error), original_error=error), executed=executed)
        assert seen.extensions is not None
        assert seen.extensions["code"] == "INTERNAL"
        assert "secret" not in seen.message
        assert str(seen.extensions["correlationId"]) in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "secret" in caplog.text


def test_a_value_of_ours_that_cannot_be_written_is_our_fault() -> None:
    inner = GraphQLError("Int cannot represent 5000000000")
    seen = coded(GraphQLError("x", path=["a"], original_error=inner), executed=True)
    assert seen.extensions is not None
    assert seen.extensions["code"] == "INTERNAL"


def test_running_out_of_stack_or_time_has_a_code_of_its_own() -> None:
    for error, executed, code in (
        (RecursionError(), False, "GRAPHQL_VALIDATION_FAILED"),
        (TimeoutError(), True, "TIMEOUT"),
    ):
        seen = coded(GraphQLError("x", original_error=error), executed=executed)
        assert seen.extensions == {"code": code}


def test_each_problem_is_made_from_its_error() -> None:
    invalid, not_found, conflict = HANDLERS
    found = InvalidInput.at(["a", "b"], "bad", code="X", remedy="Mend it.")
    problem = invalid.handle(found)
    assert isinstance(problem, InvalidProblem)
    assert [(each.path, each.remedy) for each in problem.findings] == [(["a", "b"], "Mend it.")]
    missing = not_found.handle(NotFound("model", "tiny"))
    assert isinstance(missing, NotFoundProblem)
    assert missing.id == "tiny"
    blocked = conflict.handle(InUse("needed", "Wait.", [KEY]))
    assert isinstance(blocked, ConflictProblem)
    assert (blocked.code.value, blocked.blocked_by) == ("IN_USE", [f"job_{KEY.hex}"])
