"""Top-level errors: each gets a stable `extensions.code`, and only unexpected ones are masked.

| code                      | when                                                               |
|---------------------------|--------------------------------------------------------------------|
| those of `jobs.errors`    | the service refused: UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, INVALID |
| GRAPHQL_PARSE_FAILED      | the document is no GraphQL                                         |
| GRAPHQL_VALIDATION_FAILED | the document does not fit the schema, or exceeds a limit           |
| BAD_USER_INPUT            | a variable or argument is not of its type                          |
| TIMEOUT                   | the operation took too long                                        |
| INTERNAL                  | anything else; logged under the `correlationId` that the error bears |
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from jobs.errors import InvalidInput, NotFound, TuneryError
from schema.problems import not_found_message

__all__ = ["coded", "coded_all"]

logger = logging.getLogger(__name__)


def coded_all(errors: Sequence[GraphQLError], *, executed: bool) -> list[GraphQLError]:
    """The errors as a client may see them; `executed` tells if the document was found valid."""
    return [coded(error, executed=executed) for error in errors]


def coded(error: GraphQLError, *, executed: bool) -> GraphQLError:
    """One error with its code; an unexpected one is logged and loses its message."""
    if error.extensions and "code" in error.extensions:
        return error
    cause = _cause(error)
    if isinstance(cause, TuneryError):
        return _with(error, _message(cause), **_facts(cause))
    if isinstance(cause, TimeoutError):
        return _with(error, "The operation took too long and was stopped.", code="TIMEOUT")
    code = _client_fault(error, cause, executed=executed)
    if code is not None:
        return _with(error, _CLIENT_MESSAGES.get(type(cause), error.message), code=code)
    return _masked(error, cause)


def _cause(error: GraphQLError) -> BaseException:
    """The innermost error: the executor wraps one that was raised without a place."""
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _client_fault(error: GraphQLError, cause: BaseException, *, executed: bool) -> str | None:
    if isinstance(cause, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if isinstance(cause, UnicodeEncodeError):
        return "BAD_USER_INPUT"
    if not executed:
        operation = CannotGetOperationTypeError | InvalidOperationTypeError | RecursionError
        if isinstance(cause, GraphQLError | operation):
            return "GRAPHQL_VALIDATION_FAILED"
        return None
    # A variable that could not be coerced has no path in the result, and an argument names its
    # place in the document; a value of ours that could not be serialised has the one, not the other.
    if isinstance(cause, GraphQLError) and (error.path is None or cause.nodes):
        return "BAD_USER_INPUT"
    return None


_CLIENT_MESSAGES: Final[Mapping[type[BaseException], str]] = {
    RecursionError: "The operation is nested too deeply.",
    UnicodeEncodeError: "A text holds half of a surrogate pair, which no encoding can write.",
}


def _message(error: TuneryError) -> str:
    return not_found_message(error) if isinstance(error, NotFound) else error.message


def _facts(error: TuneryError) -> dict[str, Any]:
    facts: dict[str, Any] = {"code": error.code}
    if error.remedy is not None:
        facts["remedy"] = error.remedy
    if isinstance(error, InvalidInput):
        facts["findings"] = [
            {"path": list(each.path), "code": each.code, "message": each.message}
            for each in error.findings
        ]
    return facts


def _masked(error: GraphQLError, cause: BaseException) -> GraphQLError:
    correlation_id = uuid4().hex
    logger.error("unexpected error %s at %s", correlation_id, error.path, exc_info=cause)
    message = "Something went wrong in the service; its log has more under the correlationId."
    return _with(error, message, code="INTERNAL", correlationId=correlation_id)


def _with(error: GraphQLError, message: str, **extensions: object) -> GraphQLError:
    """The same place in the document, without the original error."""
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
