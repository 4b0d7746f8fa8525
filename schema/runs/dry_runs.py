"""What would become of a run's records, counted before it starts."""

from collections.abc import Iterator
from enum import Enum

import strawberry

from schema.enums import describe
from training.preview.questions import NAMED_LINES, CountedRows, Lines, LostRecords

__all__ = ["DropReason", "RecordsDropped"]


class DropReason(Enum):
    NOTHING_TO_LEARN = "NOTHING_TO_LEARN"
    TOO_LONG = "TOO_LONG"


describe(
    DropReason,
    "Why a record is not trained on.",
    {
        "NOTHING_TO_LEARN": "None of its tokens within `maxSequenceLength` bears loss.",
        "TOO_LONG": "It is longer than `maxSequenceLength`, and `onTooLong` is DROP.",
    },
)


@strawberry.type(description="Records that are left out for one reason.")
class DroppedRecords:
    code: DropReason = strawberry.field(description="The reason.")
    count: int = strawberry.field(description="How many records they are.")
    lines: list[int] = strawberry.field(
        description=f"Their places in the dataset, from 1: the first {NAMED_LINES} of them."
    )
    validation_dataset: bool = strawberry.field(
        description="Whether they are those of the dataset to test with."
    )


@strawberry.type(description="The records that a run would leave out.")
class RecordsDropped:
    count: int = strawberry.field(description="How many they are, for whatever reason.")
    reasons: list[DroppedRecords] = strawberry.field(
        description="The reasons that there are, with their records."
    )

    @classmethod
    def of(cls, rows: CountedRows) -> "RecordsDropped":
        reasons = [*_reasons(rows.lost, validation_dataset=False)]
        if rows.lost_held_out is not None:
            reasons += _reasons(rows.lost_held_out, validation_dataset=True)
        return cls(count=sum(each.count for each in reasons), reasons=reasons)


def _reasons(lost: LostRecords, *, validation_dataset: bool) -> Iterator[DroppedRecords]:
    found: list[tuple[DropReason, Lines]] = [
        (DropReason.NOTHING_TO_LEARN, lost.without_loss),
        (DropReason.TOO_LONG, lost.too_long),
    ]
    for code, lines in found:
        if lines.count:
            yield DroppedRecords(
                code=code,
                count=lines.count,
                lines=list(lines.first),
                validation_dataset=validation_dataset,
            )
