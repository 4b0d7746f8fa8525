"""Where each message of a conversation begins in its text, in one pass of a template that allows it.

The exact way to find an assistant's turn in a rendered conversation is to render the conversation up
to it. That takes as many passes as there are turns, each over all messages before. Many
templates are one loop that looks at nothing but the message at hand, the first one, and what earlier
ones left behind. What such a loop writes for some messages is what it writes first for more of
them, so that the borders within one text are those of all its beginnings.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from jinja2 import Environment, TemplateSyntaxError, nodes

from training.templates.rendering import OF_A_TEMPLATE, compiled

__all__ = ["Turns", "turns_in_one_pass"]

_MARK: Final = "\ue000"
"""A character for private use, written before each message."""

_MESSAGES: Final = "messages"
_PROMPT: Final = "add_generation_prompt"
_LOOKING_BACK: Final = frozenset({"first", "index", "index0", "previtem"})
"""What a loop may be asked without a look at what follows."""

_LOOP: Final = re.compile(r"\{%-?\s*for\s+\w+\s+in\s+messages\s*(-?)%\}")
_PROBE: Final = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})

_Tokens: TypeAlias = tuple[tuple[str, str], ...]


class Turns(NamedTuple):
    """A conversation as text, and where each of the assistant's turns lies in it: from behind what
    asks for an answer to where the next message begins."""

    text: str
    spans: list[tuple[int, int]]


class _Marking(NamedTuple):
    """A template that marks the borders, and what the unmarked one asks for an answer with."""

    template: str
    prompt: str


def turns_in_one_pass(
    template: str,
    messages: Sequence[Mapping[str, object]],
    *,
    tools: list[object] | None,
    special_tokens: Mapping[str, str],
) -> Turns | None:
    """The conversation and its turns, the same as by rendering all its beginnings; None where the
    template does not allow one pass, or this conversation is one that needs more."""
    tokens = tuple(sorted(special_tokens.items()))
    marking = _marking(template, tokens)
    if marking is None:
        return None
    try:
        parts = _rendered(marking.template, messages, tokens, tools=tools).split(_MARK)
    except OF_A_TEMPLATE:  # to be said by whoever renders it as it is
        return None
    if len(parts) != len(messages) + 1:  # one says the mark, or the loop was left
        return None
    spans = []
    position = len(parts[0])
    for message, part in zip(messages, parts[1:], strict=True):
        if message["role"] == "assistant":
            if not part.startswith(marking.prompt):
                return None
            spans.append((position + len(marking.prompt), position + len(part)))
        position += len(part)
    return Turns("".join(parts), spans)


@lru_cache(maxsize=64)
def _marking(template: str, tokens: _Tokens) -> _Marking | None:
    if _MARK in template or len(_LOOP.findall(template)) != 1 or not _is_linear(template):
        return None
    # a block, so that line ends and blanks around it are treated as those around the loop's own
    marked = _LOOP.sub(
        lambda found: f"{found[0]}{{% if true %}}{_MARK}{{% endif {found[1]}%}}", template
    )
    try:
        plain, asking = (
            _rendered(template, _PROBE, tokens, asks_for_answer=asks) for asks in (False, True)
        )
        same = _rendered(marked, _PROBE, tokens).replace(_MARK, "") == plain
    except OF_A_TEMPLATE:  # it wants other messages than these
        return None
    return _Marking(marked, asking.removeprefix(plain)) if same else None


def _rendered(
    template: str,
    messages: Sequence[Mapping[str, object]],
    tokens: _Tokens,
    *,
    tools: list[object] | None = None,
    asks_for_answer: bool = False,
) -> str:
    return compiled(template).render(
        messages=list(messages),
        tools=tools,
        documents=None,
        add_generation_prompt=asks_for_answer,
        **dict(tokens),
    )


def _is_linear(text: str) -> bool:
    """Whether it is: anything about the first message, the loop, what asks for an answer."""
    environment = Environment(  # noqa: S701 - nothing is rendered by it
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    try:
        template = environment.parse(text)
    except TemplateSyntaxError:  # it is broken, or has tags of its own
        return False
    before, loop, after = _around_the_loop(template.body)
    if loop is None or loop.else_ or loop.recursive or loop.test:
        return False
    looked_at = [*before, *loop.body]
    stored = {each.name for each in template.find_all(nodes.Name) if each.ctx != "load"}
    return (
        all(_looks_back(each) for each in looked_at)
        and _PROMPT not in {name for each in looked_at for name in _names(each)}
        and _MESSAGES not in stored
        and all(_is_generation_prompt(each, stored) for each in after)
    )


def _around_the_loop(
    body: Sequence[nodes.Node],
) -> tuple[Sequence[nodes.Node], nodes.For | None, Sequence[nodes.Node]]:
    for index, node in enumerate(body):
        if isinstance(node, nodes.For) and _is_name(node.iter, _MESSAGES):
            return body[:index], node, body[index + 1 :]
    return body, None, ()


def _looks_back(node: nodes.Node) -> bool:
    """Whether nothing in it depends on messages after the one at hand."""
    if isinstance(node, nodes.Getitem) and _is_name(node.node, _MESSAGES):
        return isinstance(node.arg, nodes.Const) and node.arg.value == 0
    if isinstance(node, nodes.Getattr) and _is_name(node.node, "loop"):
        return node.attr in _LOOKING_BACK
    if _is_name(node, _MESSAGES) or _is_name(node, "loop"):
        return False
    return all(_looks_back(child) for child in node.iter_child_nodes())


def _is_generation_prompt(node: nodes.Node, stored: set[str]) -> bool:
    """Whether it writes, only where an answer is asked for, what no message has a part in."""
    if not isinstance(node, nodes.If) or not _is_name(node.test, _PROMPT):
        return False
    told = {_MESSAGES, "loop", "tools", "documents", *stored}
    calls = next(node.find_all(nodes.Call), None)
    return not (node.elif_ or node.else_ or calls) and not told & set(_names(node))


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _names(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Name):
        yield node.name
    for child in node.iter_child_nodes():
        yield from _names(child)
