"""Findings about a run that was asked for in short, told in the names of that form."""

from collections.abc import Mapping
from typing import Final

from training.findings import Finding, merge

__all__ = ["in_short_form"]

_SPLIT: Final = "validationSplit"
_STOPS: Final = "earlyStopping"


def in_short_form(finding: Finding) -> Finding:
    """The same finding with its place and its patch in `StartTrainingInput`.

    Without a patch where what it changes can only be said to `runPipeline`.
    """
    patch = finding.suggested_patch
    return finding.model_copy(
        update={
            "path": _place(finding.path),
            "suggested_patch": None if patch is None else _patch(patch),
        }
    )


def _place(path: tuple[str, ...]) -> tuple[str, ...]:
    if path == ("data", _SPLIT):
        return (_SPLIT,)
    return path[:1] if path[:1] == (_STOPS,) else path


def _patch(patch: Mapping[str, object]) -> dict[str, object] | None:
    short: dict[str, object] = {}
    for name, value in patch.items():
        said = _said(name, value)
        if said is None:
            return None
        short = merge(short, said)
    return short


def _said(name: str, value: object) -> dict[str, object] | None:
    """A part of a patch in the short form; None where that has no name for it."""
    if name in _IN_BOTH:
        return {name: value}
    if name == "data" and isinstance(value, dict) and set(value) == {_SPLIT}:
        return {_SPLIT: value[_SPLIT]}
    if name == _STOPS and isinstance(value, dict) and set(value) == {"enabled"}:
        return {_STOPS: value["enabled"]}
    return None


_IN_BOTH: Final = (
    "modelId",
    "datasetId",
    "trainingType",
    "hyperparameters",
    "samplePrompts",
    "from",
)
