"""The formats that people's files have, told by the names of their columns."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

__all__ = ["SHAPES", "Format", "Part", "Shape", "matching", "resolved"]


class Format(StrEnum):
    """What a row of a file means."""

    MESSAGES = "MESSAGES"
    """OpenAI's: a list of {role, content}, with tools, tool calls and weights."""
    SHAREGPT = "SHAREGPT"
    """A list of {from, value}, or of {human, assistant}."""
    ALPACA = "ALPACA"
    """Instruction, input, output."""
    PROMPT_COMPLETION = "PROMPT_COMPLETION"
    PROMPT_MESSAGES = "PROMPT_MESSAGES"
    """The same as two lists of messages, as TRL has it; only the second one bears loss."""
    QUESTION_ANSWER = "QUESTION_ANSWER"
    TEXT = "TEXT"
    CODE = "CODE"


class Part(StrEnum):
    """What a column is to its format."""

    MESSAGES = "MESSAGES"
    TOOLS = "TOOLS"
    SYSTEM = "SYSTEM"
    HISTORY = "HISTORY"
    """Earlier turns, as pairs of what was asked and answered."""
    INSTRUCTION = "INSTRUCTION"
    INPUT = "INPUT"
    OUTPUT = "OUTPUT"
    PROMPT = "PROMPT"
    COMPLETION = "COMPLETION"
    QUESTION = "QUESTION"
    ANSWER = "ANSWER"
    TEXT = "TEXT"
    CODE = "CODE"
    LANGUAGE = "LANGUAGE"


class Shape(NamedTuple):
    """The columns of a format: for each part the names that it goes by, in lower case."""

    format: Format
    required: Mapping[Part, tuple[str, ...]]
    optional: Mapping[Part, tuple[str, ...]] = {}
    without: frozenset[str] = frozenset()
    """Columns beside which the required names mean something else."""


_Names: TypeAlias = dict[Part, tuple[str, ...]]

_TURNS: Final = ("messages", "conversations", "conversation", "dialogue")
_LANGUAGES: Final = ("language", "lang", "programming_language")
_ANSWERS: Final = ("answer", "response", "solution", "reply", "a")
_SYSTEM: Final[_Names] = {Part.SYSTEM: ("system", "system_prompt")}
_HISTORY: Final[_Names] = {Part.HISTORY: ("history",)}
_TOOLS: Final[_Names] = {Part.TOOLS: ("tools",)}

SHAPES: Final = (
    Shape(Format.MESSAGES, {Part.MESSAGES: _TURNS}, _SYSTEM | _TOOLS),
    Shape(Format.SHAREGPT, {Part.MESSAGES: _TURNS}, _SYSTEM | _TOOLS),
    Shape(
        Format.ALPACA,
        {Part.INSTRUCTION: ("instruction",), Part.OUTPUT: ("output", "response")},
        {Part.INPUT: ("input", "context")} | _SYSTEM | _HISTORY,
    ),
    Shape(
        Format.PROMPT_COMPLETION,
        {Part.PROMPT: ("prompt",), Part.COMPLETION: ("completion", "response")},
    ),
    Shape(
        Format.PROMPT_MESSAGES, {Part.PROMPT: ("prompt",), Part.COMPLETION: ("completion",)}, _TOOLS
    ),
    Shape(
        Format.QUESTION_ANSWER,
        {Part.QUESTION: ("question", "query", "problem", "q"), Part.ANSWER: _ANSWERS},
        _SYSTEM | _HISTORY,
    ),
    Shape(
        Format.QUESTION_ANSWER,
        {Part.QUESTION: ("input",), Part.ANSWER: ("output",)},
        _SYSTEM | _HISTORY,
        without=frozenset({"instruction"}),
    ),
    Shape(Format.TEXT, {Part.TEXT: ("text", "document")}),
    Shape(Format.TEXT, {Part.TEXT: ("content",)}, without=frozenset({"role", *_LANGUAGES})),
    Shape(Format.CODE, {Part.CODE: ("code",)}, {Part.LANGUAGE: _LANGUAGES}),
    Shape(Format.CODE, {Part.CODE: ("content",), Part.LANGUAGE: _LANGUAGES}),
)


def resolved(shape: Shape, names: Collection[str]) -> dict[Part, list[str]] | None:
    """The columns that play each required part; None where one is missing."""
    if any(_folded(name) in shape.without for name in names):
        return None
    parts = {part: matching(names, known) for part, known in shape.required.items()}
    return parts if all(parts.values()) else None


def matching(names: Collection[str], known: tuple[str, ...]) -> list[str]:
    """Those of the columns that go by one of these names, the likeliest first."""
    found = [name for name in names if _folded(name) in known]
    return sorted(found, key=lambda name: known.index(_folded(name)))


def _folded(name: str) -> str:
    return name.strip().casefold()
