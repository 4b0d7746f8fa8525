"""What is chosen to be done with records by what was found of them."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from uuid import UUID

from jobs.errors import InvalidInput
from jobs.models import Examination
from training.data.doctor.checks import CHECKS, RECORD_CODES, Code, Strategy
from training.data.doctor.errors import FindingUnknown, StrategyNotOffered
from training.data.doctor.report import Report
from training.events import Failure
from training.findings import Finding, Severity

__all__ = ["Choice", "chosen", "report_of"]


class Choice(NamedTuple):
    """What is to be done with the records of one finding."""

    finding: Code
    strategy: Strategy


async def report_of(dataset_id: UUID) -> Report | None:
    """What was found in a dataset; None where nobody has looked yet."""
    examination = await Examination.get_or_none(id=dataset_id).only("id", "report")
    if examination is None or examination.report is None:
        return None
    return Report.model_validate(examination.report)


def chosen(
    choices: Sequence[Choice],
    path: Sequence[str],
    *,
    looked_for: AbstractSet[Code] = RECORD_CODES,
) -> dict[Code, Strategy]:
    """The choices at a path of the input, about what was `looked_for`; InvalidInput names all that
    cannot be made."""
    strategies: dict[Code, Strategy] = {}
    findings = []
    for index, choice in enumerate(choices):
        refusal = _refusal(choice, looked_for, is_again=choice.finding in strategies)
        strategies[choice.finding] = choice.strategy
        if refusal is not None:
            findings.append(
                Finding(
                    severity=Severity.ERROR,
                    code=refusal.code,
                    path=(*path, str(index)),
                    message=refusal.message,
                    remedy=refusal.remedy or "",
                )
            )
    if findings:
        raise InvalidInput(findings[0].message, findings)
    return strategies


def _refusal(choice: Choice, looked_for: AbstractSet[Code], *, is_again: bool) -> Failure | None:
    code, strategy = choice
    offered = CHECKS[code].strategies
    if is_again:
        return Failure(
            code="FINDING_TWICE",
            message=f"There are several strategies for {code}.",
            remedy="Choose one of them.",
        )
    if strategy not in offered:
        return StrategyNotOffered(code, strategy, offered).failure()
    if strategy is Strategy.TRUNCATE:
        return Failure(
            code="STRATEGY_OF_A_RUN",
            message="No record of a dataset is cut: how many of its tokens fit, a run decides.",
            remedy="Set onTooLong: TRUNCATE in the data of the run.",
        )
    if code not in looked_for:
        return FindingUnknown(code).failure()
    return None
