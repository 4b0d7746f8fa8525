"""A conversation as text, by the tokenizer's template, and each failure of that by name."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from jinja2 import Template, TemplateError, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from training.templates.errors import TemplateFailed, TemplateUnusable

__all__ = ["OF_A_TEMPLATE", "Marked", "compiled", "rendered", "rendered_with_marks"]

Marked: TypeAlias = tuple[str, list[tuple[int, int]]]
"""A text, and the spans in it that the template marks as the assistant's."""

_render: Final[Callable[..., tuple[list[str], list[list[tuple[int, int]]]]]] = render_jinja_template  # type: ignore[assignment]
"""The renderer under `apply_chat_template`, which is annotated as returning `str` and does not."""

OF_A_TEMPLATE: Final = (
    TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What the code in a template raises where it stumbles, or means to."""


def compiled(template: str) -> Template:
    """The template as transformers runs it, in its sandbox, and remembers it.

    Rendered by itself it takes 0.6 of the time, as nothing is copied to keep objects that have methods
    from it: it is to be given what JSON holds, and nothing else. Raises `TemplateSyntaxError`.
    """
    made: Template = _compile_jinja_template(template)
    return made


def rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    line: int,
    tools: list[object] | None = None,
    add_generation_prompt: bool = False,
) -> str:
    """The text of a conversation. Raises `TemplateFailed` naming the record by `line`, and
    `TemplateUnusable`."""
    return _text(
        tokenizer, messages, line=line, tools=tools, add_generation_prompt=add_generation_prompt
    )[0]


def rendered_with_marks(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    line: int,
    tools: list[object] | None = None,
) -> Marked:
    """The text, and its spans inside `{% generation %}`. Raises what `rendered` raises."""
    return _text(tokenizer, messages, line=line, tools=tools, return_assistant_tokens_mask=True)


def _text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, object]],
    *,
    line: int,
    tools: list[object] | None,
    **options: bool,
) -> Marked:
    try:
        texts, spans = _render(
            conversations=[list(messages)],
            tools=tools,
            chat_template=tokenizer.get_chat_template(tools=tools),  # type: ignore[arg-type]  # annotated narrowly
            **options,
            **tokenizer.special_tokens_map,
        )
    except TemplateSyntaxError as error:
        reason = (error.message or "it is no Jinja").rstrip(".")
        raise TemplateUnusable(reason, template_line=error.lineno) from error
    except OF_A_TEMPLATE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise TemplateFailed(line, reason, template_line=_template_line(error)) from error
    return texts[0], spans[0] if spans else []


def _template_line(error: BaseException) -> int | None:
    """Where in the template it happened: Jinja names the template's frames so."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in ("<template>", "<unknown>")
    ]
    return lines[-1] if lines else None
