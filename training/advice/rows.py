"""What the dataset's statistics say of its rows: how long they are, and how often the same."""

import math
from collections.abc import Iterator
from typing import Final

from training.advice.case import Case
from training.config import TrainingConfig
from training.findings import Finding, Severity, recommendation, warning

_TOO_MANY: Final = 0.1
"""Of the rows: cut or duplicate."""
_ROUND: Final = 64
_USUAL_LENGTH: Final = int(TrainingConfig.model_fields["max_sequence_length"].default)
_FAR_ABOVE: Final = 8


def long_rows(case: Case) -> Iterator[Finding]:
    """Rows of which the end would be missed."""
    lengths, longest = case.facts.row_tokens, case.config.max_sequence_length
    share = _beyond(case, longest)
    if share < _TOO_MANY:
        return
    wanted = math.ceil(lengths[-1] / _ROUND) * _ROUND
    better = min(wanted, case.facts.context_length or wanted)
    changes = {"max_sequence_length": better}
    helps = better > longest and _beyond(case, better) < _TOO_MANY
    has_room = case.has_memory(changes) is not False
    yield warning(
        "ROWS_TOO_LONG",
        "max_sequence_length",
        message=f"maxSequenceLength is {longest}, but about {share:.0%} of the rows are longer, told "
        f"from their characters; the longest has some {case.facts.longest_row or 0:.0f} tokens.",
        remedy=f"Raise maxSequenceLength to {better}."
        if helps and has_room
        else "Divide long records: longer ones would not fit into memory."
        if helps
        else "Divide long records: the model's context holds no longer ones.",
        changes=changes if helps and has_room else None,
    )


def _beyond(case: Case, longest: int) -> float:
    """The share of rows that have more tokens."""
    lengths = case.facts.row_tokens
    return sum(each > longest for each in lengths) / max(1, len(lengths))


def needless_length(case: Case) -> Iterator[Finding]:
    """A limit that no row comes near."""
    longest, limit = case.facts.longest_row, case.config.max_sequence_length
    if longest is None or limit <= max(_USUAL_LENGTH, _FAR_ABOVE * longest):
        return
    better = max(_USUAL_LENGTH, 1 << math.ceil(math.log2(2 * longest)))
    yield recommendation(
        "SEQUENCE_LENGTH_UNUSED",
        "max_sequence_length",
        message=f"maxSequenceLength is {limit}, but the longest row has some {longest:.0f} tokens, "
        "told from its characters.",
        remedy="Lower it: rows are not padded, so that nothing is gained or lost by it, but a stray "
        "long record would be noticed.",
        changes={"max_sequence_length": better},
    )


def duplicate_records(case: Case) -> Iterator[Finding]:
    """Records that are learnt several times an epoch."""
    facts = case.facts
    if facts.records and facts.duplicates >= _TOO_MANY * facts.records:
        yield Finding(
            severity=Severity.WARNING,
            code="DUPLICATE_RECORDS",
            path=("datasetId",),
            message=f"{facts.duplicates} of {facts.records} records are equal to an earlier one: "
            "they are trained on that much more often than the others.",
            remedy="Remove the duplicates, unless they weigh more on purpose.",
        )
