"""How a dataset is to be rendered for a model, where nobody has asked for a run."""

from collections.abc import Mapping
from functools import reduce

from pydantic import ValidationError

from jobs.errors import InvalidInput
from training.config import DataType, TrainingConfig, TrainingType, resolve
from training.findings import Finding, Severity
from training.limits import beyond_limits
from training.models.facts import ModelFacts
from training.templates.checks import template_findings

__all__ = ["rendering_config"]


def rendering_config(
    choices: Mapping[str, object],
    facts: ModelFacts,
    data_type: DataType,
    *,
    within: tuple[str, ...],
) -> TrainingConfig:
    """The choices of a run with every default. Raises InvalidInput with what a run would be told, in
    the words of an input that has all options beside one another, `within` some place of it."""
    usual = TrainingConfig.model_fields["max_sequence_length"].default
    longest = {"max_sequence_length": min(usual, facts.context_length or usual)}
    try:
        config = resolve(TrainingType.LORA, longest | dict(choices))
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(map(str, first["loc"]))
        raise InvalidInput.at(
            (*within, *place), first["msg"], code="WRONG_TYPE", remedy="Send another value."
        ) from error
    limits = beyond_limits(
        config, context_length=facts.context_length, layer_count=facts.layer_count
    )
    unfit = template_findings(
        config, data_type, own=facts.has_chat_template, supported=facts.chat_templates
    )
    errors = [each for each in (*limits, *unfit) if each.severity is Severity.ERROR]
    if errors:
        found = [_of_option(each, within) for each in errors]
        raise InvalidInput("The records cannot be rendered so.", found)
    return config


def _of_option(finding: Finding, within: tuple[str, ...]) -> Finding:
    name = finding.path[-1]
    value: object = finding.suggested_patch
    for key in finding.path:
        value = value.get(key) if isinstance(value, dict) else None
    patch: dict[str, object] = {name: value}
    patch = reduce(lambda inner, place: {place: inner}, reversed(within), patch)
    return finding.model_copy(
        update={
            "path": (*within, name),
            "suggested_patch": finding.suggested_patch and patch,
        }
    )
