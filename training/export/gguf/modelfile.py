"""The chat template in Ollama's language, found by rendering and kept only if it renders alike.

Ollama does not run the Jinja template of a GGUF file: it looks for one of its own that resembles
it. What most templates do, one text before and after each role's words, can be said in its
language.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from transformers import PreTrainedTokenizerBase

from training.templates.rendering import OF_A_TEMPLATE

__all__ = ["Modelfile", "modelfile"]

_Message: TypeAlias = dict[str, str]

_SYSTEM, _USER, _ANSWER, _AGAIN = "qSYSTEMq", "qUSERq", "qANSWERq", "qAGAINq"
_QUOTES: Final = '"""'


class Modelfile(NamedTuple):
    """The text, and whether the template could be said in it."""

    text: str
    has_template: bool


class _Turns(NamedTuple):
    """What stands around the words of each role."""

    head: str
    system: tuple[str, str] | None
    """Around a system message; None where the template takes none."""
    within_user: bool
    """Whether that stands within the first user's turn, before the words."""
    user: tuple[str, str]
    """Around a user's words, with what asks for the answer."""
    answer: tuple[str, str]
    default_system: str | None

    def rendered(self, messages: Sequence[_Message]) -> str:
        """As the template below has it."""
        told = list(messages)
        if self.default_system is not None and told[0]["role"] != "system":
            told.insert(0, _message("system", self.default_system))
        around = {"system": self.system or ("", ""), "user": self.user, "assistant": self.answer}
        inside = ""
        if self.within_user and told[0]["role"] == "system":
            inside = told.pop(0)["content"].join(around["system"])
        words = [inside + told[0]["content"], *(each["content"] for each in told[1:])]
        return self.head + "".join(
            text.join(around[each["role"]]) for each, text in zip(told, words, strict=True)
        )


def modelfile(
    tokenizer: PreTrainedTokenizerBase, stops: frozenset[int], file_name: str
) -> Modelfile:
    """What `ollama create` reads, beside a file of this name."""
    ends = [str(tokenizer.convert_ids_to_tokens(token)) for token in sorted(stops)]
    turns = _turns(tokenizer, ends) if tokenizer.chat_template is not None else None
    lines = [f"FROM ./{file_name}"]
    if turns is not None:
        lines.append(f"TEMPLATE {_QUOTES}{_template(turns)}{_QUOTES}")
        if turns.default_system:
            lines.append(f"SYSTEM {_QUOTES}{turns.default_system}{_QUOTES}")
    lines += [f"PARAMETER stop {json.dumps(end)}" for end in ends]
    return Modelfile("\n".join(lines) + "\n", has_template=turns is not None)


def _template(turns: _Turns) -> str:
    """No action trims the blanks around it, so that the literals stand as they are."""
    inside = system = ""
    if turns.system is not None and turns.within_user:
        first = "{{ if and $.System (le $i 1) }}"
        inside = first + "{{ $.System }}".join(turns.system) + "{{ end }}"
    elif turns.system is not None:
        system = _when("system", "{{ .Content }}".join(turns.system))
    return (
        turns.head
        + "{{ range $i, $_ := .Messages }}"
        + system
        + _when("user", (inside + "{{ .Content }}").join(turns.user))
        + _when("assistant", "{{ .Content }}".join(turns.answer))
        + "{{ end }}"
    )


def _when(role: str, text: str) -> str:
    return f'{{{{ if eq .Role "{role}" }}}}{text}{{{{ end }}}}'


def _turns(tokenizer: PreTrainedTokenizerBase, ends: Sequence[str]) -> _Turns | None:
    """The literals, or None where the template is more than that, or they cannot be written."""
    found = _guessed(tokenizer, ends)
    if found is None:
        return None
    literals = (found.head, *(found.system or ()), *found.user, *found.answer)
    if any("{{" in each or _QUOTES in each for each in (*literals, found.default_system or "")):
        return None
    for messages in _trials(found.system is not None):
        expected = _rendered(tokenizer, messages)
        if expected is None or _without_bos(tokenizer, expected) != found.rendered(messages):
            return None
    return found


def _guessed(tokenizer: PreTrainedTokenizerBase, ends: Sequence[str]) -> _Turns | None:
    asked = _message("user", _USER)
    both = _rendered(tokenizer, [asked, _message("assistant", _ANSWER), _message("user", _AGAIN)])
    parts = _between(both, (_USER, _ANSWER, _AGAIN)) if both else None
    if parts is None or not parts[1].startswith(parts[3]):
        return None
    first, after_user, between, last = parts
    first = _without_bos(tokenizer, first)
    before_user = _behind_end(_common_end(first, between), ends)
    turns = _Turns(
        head=first.removesuffix(before_user),
        system=None,
        within_user=False,
        user=(before_user, last),
        answer=(after_user.removeprefix(last), between.removesuffix(before_user)),
        default_system=None,
    )
    return _with_system(tokenizer, turns, asked)


def _with_system(
    tokenizer: PreTrainedTokenizerBase, turns: _Turns, asked: _Message
) -> _Turns | None:
    told = _rendered(tokenizer, [_message("system", _SYSTEM), asked])
    parts = _between(told, (_SYSTEM, _USER)) if told else None
    if parts is None:
        return turns  # it takes none
    before, between = _without_bos(tokenizer, parts[0]), parts[1]
    before_user = turns.user[0]
    if before == turns.head + before_user:
        return turns._replace(system=("", between), within_user=True)
    after = between.removesuffix(before_user)
    if before.startswith(turns.head):  # the head is of every conversation
        return turns._replace(system=(before.removeprefix(turns.head), after))
    default = turns.head.removeprefix(before).removesuffix(after)
    if default.join((before, after)) != turns.head:
        return None
    return turns._replace(head="", system=(before, after), default_system=default)


def _trials(takes_system: bool) -> Iterator[list[_Message]]:
    talk = [
        _message("user", "First"),
        _message("assistant", "Second"),
        _message("user", "Third"),
        _message("assistant", "Fourth"),
        _message("user", "Fifth"),
    ]
    for length in (1, 3, 5):
        yield talk[:length]
        if takes_system:
            yield [_message("system", "Zeroth"), *talk[:length]]


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[_Message]) -> str | None:
    try:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )
    except OF_A_TEMPLATE:  # it refuses such a conversation
        return None


def _without_bos(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Ollama puts BOS before a prompt itself, where the file says so."""
    bos = tokenizer.bos_token
    adds = bos is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(str(bos)) if adds else text


def _between(text: str, words: Sequence[str]) -> list[str] | None:
    """What stands before, between and after the words, each of which is there once, in order."""
    parts = []
    for word in words:
        before, found, text = text.partition(word)
        if not found:
            return None
        parts.append(before)
    return None if any(word in text for word in words) else [*parts, text]


def _common_end(first: str, second: str) -> str:
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    return first[len(first) - length :]


def _behind_end(text: str, ends: Sequence[str]) -> str:
    """Without the end of the turn before, which may be common to all that comes before a turn."""
    places = [text.find(end) + len(end) for end in ends if end in text]
    return text[max(places, default=0) :].lstrip()


def _message(role: str, content: str) -> _Message:
    return {"role": role, "content": content}
