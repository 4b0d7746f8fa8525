"""From an answer's JSON to a record, or to the error that it tells of."""

from typing import Any, TypeVar

from api.client.errors import Refused
from api.client.results import Finding, Page, Record

__all__ = ["accepted", "optional", "page"]

RecordT = TypeVar("RecordT", bound=Record)


def accepted(answer: dict[str, Any]) -> dict[str, Any]:
    """The success in a union of it and problems; raises Refused for a problem."""
    if not answer["__typename"].endswith("Problem"):
        return answer
    findings = [Finding.model_validate(each) for each in answer.get("findings", ())]
    raise Refused(answer["code"], answer["message"], answer["remedy"], findings)


def optional(record: type[RecordT], answer: object) -> RecordT | None:
    """The record, where there is one."""
    return None if answer is None else record.model_validate(answer)


def page(record: type[RecordT], answer: dict[str, Any]) -> Page[RecordT]:
    """A connection, as a page of its nodes."""
    return Page(
        nodes=tuple(record.model_validate(edge["node"]) for edge in answer["edges"]),
        total_count=answer["totalCount"],
        has_next_page=answer["pageInfo"]["hasNextPage"],
        end_cursor=answer["pageInfo"]["endCursor"],
    )
