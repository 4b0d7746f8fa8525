"""Whether the figures of a version's newest evaluation are within bounds."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from jobs.models import Evaluation, ModelVersion
from jobs.registry.figures import (
    LESS_IS_BETTER,
    OF_ANSWERS,
    OVER_TOKENS,
    Figure,
    FigureBound,
    measured,
)
from jobs.status import TaskStatus
from training.evaluation.spec import EvaluationResult
from training.findings import Finding, Severity

__all__ = ["figure_shortcomings", "refusal"]


async def figure_shortcomings(
    bounds: Sequence[FigureBound],
    dataset_sha256: str | None,
    *,
    version: ModelVersion,
    active: ModelVersion | None,
) -> AsyncIterator[Finding]:
    """Where a version's newest READY evaluation, on a dataset of this content if one is named, is out
    of bounds, or worse than that of the version in production over the same records."""
    ready = await _evaluations(version, dataset_sha256)
    if not ready:
        yield _not_evaluated(bounds, dataset_sha256, version)
        return
    newest = ready[0]
    result = EvaluationResult.model_validate(newest.result)
    for each in bounds:
        value = measured(each.figure, result)
        if value is None:
            yield _not_measured(each.figure, result, version)
            continue
        if each.bound is not None and _is_worse(each.figure, value, each.bound):
            yield _outside(each.figure, value, each.bound, version=version)
        if each.not_worse and active is not None:
            former = await _counterpart(newest, active, each.figure)
            if former is None:
                yield _not_comparable(each.figure, version, active)
            elif _is_worse(each.figure, value, former):
                yield _worse(each.figure, value, former, version=version, active=active)


async def _evaluations(version: ModelVersion, dataset_sha256: str | None) -> list[Evaluation]:
    rows = Evaluation.filter(version_id=version.id, status=TaskStatus.READY)
    rows = rows if dataset_sha256 is None else rows.filter(dataset_sha256=dataset_sha256)
    return await rows.order_by("-created_at", "-id")


async def _counterpart(
    evaluation: Evaluation, active: ModelVersion, figure: Figure
) -> float | None:
    """The figure of the version in production over the same records; None where there is none."""
    for other in await _evaluations(active, evaluation.dataset_sha256):
        if _what_counts(other, figure) == _what_counts(evaluation, figure):
            return measured(figure, EvaluationResult.model_validate(other.result))
    return None


def _what_counts(evaluation: Evaluation, figure: Figure) -> tuple[object, ...]:
    """What two evaluations on one dataset must share for a figure to mean the same."""
    options: dict[str, Any] = {**evaluation.options, "base": None}
    if options["max_records"] is None:
        options["seed"] = None  # there is no sample to draw
    result = EvaluationResult.model_validate(evaluation.result)
    tokens = result.trained_tokens if figure in OVER_TOKENS else None
    return options, result.records, result.dropped, result.dropped_lines, tokens


def _is_worse(figure: Figure, value: float, than: float) -> bool:
    return value > than if figure in LESS_IS_BETTER else value < than


def _not_evaluated(
    bounds: Sequence[FigureBound], dataset_sha256: str | None, version: ModelVersion
) -> Finding:
    named = ", ".join(dict.fromkeys(each.figure for each in bounds))
    where = ""
    if dataset_sha256 is not None:
        where = f" on the gate's test dataset, of sha256 {dataset_sha256[:12]}…"
    return refusal(
        "NOT_EVALUATED",
        f"Version {version.version} has no READY evaluation{where}; the gate asks for {named}.",
        remedy="Evaluate it first, with evaluateModel",
    )


def _not_measured(figure: Figure, result: EvaluationResult, version: ModelVersion) -> Finding:
    why = "No answers were generated, or its records have none."
    if figure not in OF_ANSWERS:
        why = result.unlabelled or "Its records have no answers."
    return refusal(
        "FIGURE_NOT_MEASURED",
        f"The newest evaluation of version {version.version} has no {figure}. {why}",
        remedy="Evaluate it so that there is one",
    )


def _outside(figure: Figure, value: float, bound: float, *, version: ModelVersion) -> Finding:
    side = "allows at most" if figure in LESS_IS_BETTER else "asks for at least"
    return refusal(
        "FIGURE_OUTSIDE_GATE",
        f"The {figure} of version {version.version} is {value:.4g} in its newest evaluation; the gate "
        f"{side} {bound:.4g}.",
    )


def _worse(
    figure: Figure, value: float, former: float, *, version: ModelVersion, active: ModelVersion
) -> Finding:
    return refusal(
        "FIGURE_WORSE_THAN_ACTIVE",
        f"The {figure} of version {version.version} is {value:.4g}; that of {active.version}, which is "
        f"ACTIVE, is {former:.4g} on the same records.",
    )


def _not_comparable(figure: Figure, version: ModelVersion, active: ModelVersion) -> Finding:
    return refusal(
        "FIGURE_NOT_COMPARABLE",
        f"Whether the {figure} of version {version.version} is worse than that of {active.version}, "
        "which is ACTIVE, cannot be told: they were not evaluated on the same records with the same "
        "options.",
        remedy=f"Evaluate {active.version} as {version.version} was",
    )


def refusal(code: str, message: str, *, remedy: str = "Choose another version") -> Finding:
    """Why a version may not go into production."""
    return Finding(
        severity=Severity.ERROR,
        code=code,
        path=("modelVersionId",),
        message=message,
        remedy=f"{remedy}, or send force: true with a reason.",
    )
