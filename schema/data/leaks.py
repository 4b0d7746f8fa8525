"""Records of one dataset that are in another, too, or nearly."""

import strawberry

from jobs.data.leaks import FoundLeaks
from training.data.doctor import report as doctor
from training.data.doctor.report import MAX_PAIRS

__all__ = ["DatasetLeaks"]


@strawberry.type(description="Two records, one of each dataset, that are nearly equal.")
class NearPair:
    line_in_a: int = strawberry.field(description="Where the one stands, from 1.")
    line_in_b: int = strawberry.field(description="Where the other stands, from 1.")
    similarity: float = strawberry.field(
        description="The estimated share of their runs of five characters that they have in common, "
        "0.8 to 1; letters and digits count, capitals do not."
    )

    @classmethod
    def of(cls, pair: doctor.LeakPair) -> "NearPair":
        return cls(
            line_in_a=pair.training_line,
            line_in_b=pair.validation_line,
            similarity=pair.similarity,
        )


@strawberry.type(
    description="The records of `b` that are in `a`, too, or nearly: what would leak if `a` were "
    "trained on and tested with `b`."
)
class DatasetLeaks:
    equal: int | None = strawberry.field(
        description="Records of `b` that are equal to some of `a`; null where that is not known."
    )
    near: int | None = strawberry.field(
        description="Those that are equal to none, and nearly equal to some; null likewise."
    )
    pairs: list[NearPair] = strawberry.field(
        description=f"The first {MAX_PAIRS} of the nearly equal, each with the record that it is most "
        "like."
    )
    unknown: str | None = strawberry.field(
        description="Why they are not known, such as that a dataset is not examined yet; null where "
        "they are."
    )

    @classmethod
    def of(cls, found: FoundLeaks) -> "DatasetLeaks":
        leaks = found.leaks
        return cls(
            equal=leaks.equal if leaks else None,
            near=leaks.near if leaks else None,
            pairs=[NearPair.of(each) for each in leaks.pairs] if leaks else [],
            unknown=found.unknown,
        )
