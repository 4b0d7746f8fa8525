"""Why a chat template cannot be used.

* TrainingError
  x TemplateUnusable       its text is no template, or it asks for too much
  x TemplateFailed         it cannot render one record
  x EndOfTurnSplit         the tokenizer cuts its end of a turn into pieces
"""

from typing import Final

from training.errors import TrainingError

OF_NO_RECORD: Final = 0
"""In place of a record's line, where a template is tried before there is one."""


class TemplateUnusable(TrainingError):
    """The text is no template, or one that no record can be rendered with."""

    def __init__(self, reason: str, *, template_line: int | None = None) -> None:
        super().__init__(
            "CHAT_TEMPLATE_UNUSABLE",
            f"The chat template cannot be used: {at_line(template_line)}{reason}.",
            "Mend the template, choose one by name, or leave chatTemplate out for the model's own.",
        )


class TemplateFailed(TrainingError):
    """The template refuses a record, or stumbles over it."""

    def __init__(self, line: int, reason: str, *, template_line: int | None = None) -> None:
        what = "a question with its answer" if line == OF_NO_RECORD else f"record {line}"
        super().__init__(
            "CHAT_TEMPLATE_FAILED",
            f"The chat template does not take {what}: {at_line(template_line)}{reason}.",
            "Change the record, or choose another template with chatTemplate.",
        )


class EndOfTurnSplit(TrainingError):
    """What ends a turn is not one token, so that a model could not learn to stop at it."""

    def __init__(self, template: str, token: str | None) -> None:
        missing = "which this tokenizer does not have"
        super().__init__(
            "END_OF_TURN_SPLIT",
            f"The chat template {template} ends a turn with "
            + (
                f"{token!r}, which is not one token here." if token else f"an end token, {missing}."
            ),
            "Choose a template whose end of turn the tokenizer knows; the model lists them as "
            "chatTemplates.",
        )


def at_line(template_line: int | None) -> str:
    """The place in a template, for a sentence."""
    return "" if template_line is None else f"line {template_line} of the template: "
