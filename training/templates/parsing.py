"""Whether a text is a chat template, found without running any of it."""

from typing import Final

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from training.templates.errors import TemplateUnusable

__all__ = ["MAX_CHARACTERS", "check_syntax"]

MAX_CHARACTERS: Final = 64 * 1024
"""Four times the longest template that a model is published with."""


class _GenerationTag(Extension):
    """`{% generation %}`, by which transformers learns what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


def check_syntax(text: str) -> None:
    """Raises `TemplateUnusable` with the line and the reason.

    The text is parsed, not compiled: a compiler works out what is constant, and that alone can take
    all time and memory there is.
    """
    if len(text) > MAX_CHARACTERS:
        raise TemplateUnusable(
            f"it has {len(text)} characters, and may have at most {MAX_CHARACTERS}"
        )
    if "\0" in text:
        raise TemplateUnusable("it has a NUL character, which not every database can keep")
    environment = _environment()
    try:
        parsed = environment.parse(text)
    except TemplateSyntaxError as error:
        reason = (error.message or "it is no Jinja").rstrip(".")
        raise TemplateUnusable(reason, template_line=error.lineno) from error
    except RecursionError as error:
        raise TemplateUnusable("it is nested too deep") from error
    for power in parsed.find_all(nodes.Pow):
        raise TemplateUnusable("powers are not computed", template_line=power.lineno)
    for each in parsed.find_all((nodes.Filter, nodes.Test)):
        known = environment.filters if isinstance(each, nodes.Filter) else environment.tests
        if each.name not in known:
            raise TemplateUnusable(f"there is no {each.name!r}", template_line=each.lineno)


def _environment() -> ImmutableSandboxedEnvironment:
    """As transformers sets it up to render."""
    return ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, "jinja2.ext.loopcontrols"],
    )
