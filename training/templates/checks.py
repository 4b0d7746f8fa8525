"""What can be said of a run's template before the run, by what is known of its model."""

from collections.abc import Iterator, Sequence
from typing import Final

from training.config import DataType, TrainingConfig, TrainOn
from training.findings import PATHS, Finding, Severity, error, patch_for
from training.templates.errors import TemplateUnusable
from training.templates.named import END_OF_TURN, NamedTemplate, named
from training.templates.parsing import check_syntax

__all__ = ["OF_THE_TEMPLATE", "has_template", "template_findings"]

OF_THE_TEMPLATE: Final = frozenset(
    {
        "NO_CHAT_TEMPLATE",
        "CHAT_TEMPLATE_UNUSABLE",
        "CHAT_TEMPLATE_FAILED",
        "END_OF_TURN_SPLIT",
        "TEMPLATE_NOT_PREFIX_STABLE",
        "STOP_TOKEN_NOT_TRAINED",
    }
)
"""Codes of what ends a run over its records, and another template would mend."""

_CONVERSATIONS: Final = (DataType.CHAT, DataType.QA)
_WHOLE: Final = (DataType.TEXT, DataType.CODE)


def has_template(config: TrainingConfig, own: bool) -> bool:
    """Whether the run has a template, its model's own or another."""
    return own or config.chat_template is not None


def template_findings(
    config: TrainingConfig,
    data_type: DataType,
    *,
    own: bool,
    supported: Sequence[NamedTemplate] | None,
) -> Iterator[Finding]:
    """Errors of the template, and what of `trainOn` says nothing to this data.

    `own` is whether the model has a template itself; `supported` are those named ones whose end of a
    turn is one token of it, or None where that was not noted.
    """
    needed = data_type in _CONVERSATIONS and not own
    instead = _instead(supported) if needed else None
    if needed and config.chat_template is None:
        yield _no_template(data_type, instead)
    if config.chat_template is not None:
        yield from _unusable(config.chat_template, supported, instead)
    if data_type in _WHOLE and config.train_on is not TrainOn.ASSISTANT:
        yield Finding(
            severity=Severity.WARNING,
            code="OPTION_WITHOUT_EFFECT",
            path=PATHS["train_on"],
            message=f"trainOn says nothing to data of type {data_type}, all of which is trained.",
            remedy="Leave trainOn out.",
            suggested_patch=patch_for({"train_on": TrainOn.ASSISTANT.value}),
        )


def _instead(supported: Sequence[NamedTemplate] | None) -> NamedTemplate | None:
    """The template to suggest; where nothing is known of the tokenizer, one that needs no token of
    its own."""
    if supported is None:
        return NamedTemplate.ALPACA
    return supported[0] if supported else None


def _no_template(data_type: DataType, instead: NamedTemplate | None) -> Finding:
    remedy = "Use an instruction-tuned model, or data of type TEXT, CODE or COMPLETION."
    if instead is not None:
        remedy = f"Set chatTemplate to {instead}, or use an instruction-tuned model."
    return Finding(
        severity=Severity.ERROR,
        code="NO_CHAT_TEMPLATE",
        path=PATHS["chat_template"],
        message=f"The model has no chat template, which {data_type} data needs.",
        remedy=remedy,
        suggested_patch=None if instead is None else patch_for({"chat_template": instead.value}),
    )


def _unusable(
    chosen: str, supported: Sequence[NamedTemplate] | None, instead: NamedTemplate | None
) -> Iterator[Finding]:
    changes = {"chat_template": None if instead is None else instead.value}
    template = named(chosen)
    if template is not None:
        if supported is not None and template not in supported:
            ends = END_OF_TURN.get(template)
            yield error(
                "END_OF_TURN_SPLIT",
                f"chatTemplate {template} ends a turn with {ends or 'the end token'}, which is not "
                "one token of this model.",
                remedy=f"Use {_one_of(supported)}.",
                changes=changes,
            )
    elif "{" not in chosen:
        yield error(
            "UNKNOWN_CHAT_TEMPLATE",
            f"There is no chat template {chosen[:100]!r}, and as a template's text it would write "
            "nothing of a conversation.",
            remedy=f"Use {_one_of(tuple(NamedTemplate))}, or a template's text in Jinja.",
            changes=changes,
        )
    else:
        try:
            check_syntax(chosen)
        except TemplateUnusable as refused:
            yield error(refused.code, refused.message, remedy=str(refused.remedy), changes=changes)


def _one_of(templates: Sequence[NamedTemplate]) -> str:
    return f"one of {', '.join(templates)}" if templates else "the model's own template"
