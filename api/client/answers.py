"""From an answer as JSON to what it means."""

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
    """A thing that may not be there."""
    return None if answer is None else record.model_validate(answer)


def page(record: type[RecordT], answer: dict[str, Any]) -> Page[RecordT]:
    """A part of a list."""
    return Page(
        nodes=tuple(record.model_validate(edge["node"]) for edge in answer["edges"]),
        total_count=answer["totalCount"],
        has_next_page=answer["pageInfo"]["hasNextPage"],
        end_cursor=answer["pageInfo"]["endCursor"],
    )
