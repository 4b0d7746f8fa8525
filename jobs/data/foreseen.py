"""What a derivation is refused for before it is queued: all that is known without a look at records."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from jobs.data.strategies import report_of
from jobs.errors import InvalidInput, NotFound
from jobs.models import Dataset, TokenExamination
from jobs.status import TaskStatus
from training.data.derivation import ExaminedTokens, RemovalPlan, covered
from training.data.doctor.checks import RECORD_CODES, ROW_CODES, Code, Strategy
from training.data.doctor.errors import FoundInAll, RecordsRefused
from training.data.doctor.report import Report, TokenReport
from training.data.doctor.strategies import Outcome, Strategies, foretell
from training.data.ingest.errors import NothingChanged, NothingLeft
from training.data.records import Statistics
from training.errors import TrainingError

__all__ = ["Found", "found_in", "refuse_foreseeable", "refuse_idle_examination"]

EXAMINATION = ("remove", "tokenExaminationId")
"""The place of the look at tokens in the input."""


@dataclass(frozen=True)
class Found:
    """What was found in a dataset so far, in its records and in its rows of tokens."""

    records: Report | None
    """None where nobody has looked yet."""
    tokens: TokenReport | None = None
    """None where no look at them was named."""
    examined: ExaminedTokens | None = None
    """Which look that was."""

    @property
    def looked_for(self) -> frozenset[Code]:
        """What strategies may be about; records are looked at by the derivation if they were not before."""
        return RECORD_CODES if self.tokens is None else RECORD_CODES | ROW_CODES

    def foretold(self, strategies: Strategies) -> Iterator["_Foretold"]:
        """What the strategies about either side do by themselves."""
        for report, codes in ((self.records, RECORD_CODES), (self.tokens, ROW_CODES)):
            own = {code: each for code, each in strategies.items() if code in codes}
            if own:
                told = None if report is None else foretell(report.patterns, own)
                yield _Foretold(report, told)


class _Foretold(NamedTuple):
    report: Report | TokenReport | None
    outcome: Outcome | None
    """None where nobody has looked."""

    def refused(self) -> dict[Code, tuple[int, tuple[int, ...]]]:
        """How many records, and which, have what is said to be an error."""
        if self.report is None or self.outcome is None:
            return {}
        lines = {each.code: each.lines for each in self.report.findings}
        return {code: (count, lines[code]) for code, count in self.outcome.refused.items()}


async def found_in(parent: Dataset, examination_id: UUID | None, *, by_findings: bool) -> Found:
    """What strategies have to go by, where there are any. NotFound for an examination of another
    dataset's tokens, InvalidInput for one that is not READY."""
    records = await report_of(parent.id) if by_findings else None
    if examination_id is None:
        return Found(records)
    row = await TokenExamination.get_or_none(id=examination_id, dataset_id=parent.id)
    if row is None:
        raise NotFound("token examination", examination_id)
    if row.status is not TaskStatus.READY:
        raise InvalidInput.at(
            EXAMINATION,
            f"The examination of the tokens is {row.status}.",
            code="EXAMINATION_NOT_READY",
            remedy="Wait until it is READY; one that FAILED is queued again by examineDataset.",
        )
    await row.fetch_related("model")
    examined = ExaminedTokens(
        key=str(row.id),
        model=row.model.name,
        chat_template=row.chat_template,
        train_on=row.train_on,
        max_sequence_length=row.max_sequence_length,
    )
    return Found(records, TokenReport.model_validate(row.report), examined)


def refuse_idle_examination(plan: RemovalPlan) -> None:
    """InvalidInput where a look at tokens is named, and no strategy is about what it found."""
    if plan.tokens is not None and plan.strategies.keys().isdisjoint(ROW_CODES):
        raise InvalidInput.at(
            EXAMINATION,
            "No strategy is about what is found in tokens.",
            code="EXAMINATION_WITHOUT_EFFECT",
            remedy="Name such a finding, or leave the examination out.",
        )


def refuse_foreseeable(plan: RemovalPlan, parent: Dataset, found: Found, *, adds: bool) -> None:
    """InvalidInput for what the child would refuse, as far as that is known without a look at records."""
    _refuse_what_all_have(plan, parent, found)
    count, named = parent.record_count, covered(plan.lines)
    told = [] if named else [*found.foretold(plan.strategies)]
    refused = {code: which for each in told for code, which in each.refused().items()}
    if refused:
        raise _at(("remove", "strategies"), RecordsRefused(refused))
    if adds:
        return
    outcomes = [each.outcome for each in told]
    if named == count or any(each is not None and each.kept == 0 for each in outcomes):
        raise _at(("remove",), NothingLeft(count))
    may_drop = any(each is None or each.dropped.count for each in outcomes)
    may_repeat = plan.duplicates and Statistics.model_validate(parent.statistics).duplicates
    if not (named or may_drop or may_repeat):
        raise _at(("parentId",), NothingChanged())


def _refuse_what_all_have(plan: RemovalPlan, parent: Dataset, found: Found) -> None:
    """InvalidInput where all records would go for one thing that was found in their tokens: what they
    are rendered by is to be mended then, not they."""
    for each in found.tokens.findings if found.tokens else ():
        is_dropped = plan.strategies.get(each.code) is Strategy.DROP
        if is_dropped and each.count == parent.record_count:
            raise _at(("remove", "strategies"), FoundInAll(each.code, each.count))


def _at(path: tuple[str, ...], error: TrainingError) -> InvalidInput:
    return InvalidInput.at(path, error.message, code=error.code, remedy=error.remedy or "")
