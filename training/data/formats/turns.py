"""The turns of a conversation as files have them, brought to the keys of canonical messages."""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeGuard

from training.data.fields import as_object, kind
from training.data.strict_json import loads
from training.errors import RecordError

__all__ = [
    "Note",
    "from_history",
    "from_messages",
    "from_sharegpt",
    "is_sharegpt",
    "listed",
    "untrained",
]

Note: TypeAlias = Callable[[str], None]
"""Told each key of a turn that is left out."""

_SHAREGPT_ROLES: Final = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function_response": "tool",
}

_PAIR: Final = frozenset({"human", "assistant"})
_PLAIN_SPEAKERS: Final = {"human": "user", "gpt": "assistant", "system": "system"}

_ROLES: Final = {
    "developer": "system",
    "function": "tool",
    "tool_response": "tool",
    "model": "assistant",
}
"""What others call a role."""

_MESSAGE_KEYS: Final = frozenset({"role", "content", "tool_calls", "weight", "tool_call_id"})
_PLAIN_ROLES: Final = ("system", "user", "assistant")
_TRAINED_KEYS: Final = ("loss", "train", "training")
"""What trainers call the flag that OpenAI calls `weight`."""


def is_sharegpt(value: object) -> bool | None:
    """Whether a list of turns is ShareGPT's and not of messages; None where it is neither."""
    try:
        turns = listed(value, "turns")
    except RecordError:
        return None
    first = turns[0] if turns else None
    if not isinstance(first, dict) or not {"from", "role", *_PAIR} & first.keys():
        return None
    return first.get("role") is None


def listed(value: object, name: str) -> list[object]:
    """A list, also where a cell holds it as JSON."""
    if isinstance(value, str):
        value = loads(value)
    if not isinstance(value, list):
        raise RecordError("NOT_A_LIST", f"The field {name} must be a list, not {kind(value)}.")
    return value


def from_messages(turns: list[object], note: Note) -> list[dict[str, object]]:
    """OpenAI's messages, also the older ones with `function_call`."""
    return [
        turn if _is_plain(turn) else _message(as_object(turn, f"messages[{index}]"), note)
        for index, turn in enumerate(turns)
    ]


def _is_plain(turn: object) -> TypeGuard[dict[str, object]]:
    """Whether it is a message with a role and a text and nothing else, as nearly all are."""
    return (
        isinstance(turn, dict)
        and len(turn) == 2
        and turn.get("role") in _PLAIN_ROLES
        and isinstance(turn.get("content"), str)
    )


def _message(turn: dict[str, object], note: Note) -> dict[str, object]:
    given = {key: value for key, value in turn.items() if value is not None}
    role = given.get("role")
    if isinstance(role, str):
        given["role"] = role = _ROLES.get(role, role)
    message: dict[str, object] = {}
    if role == "tool_call":
        given |= {"role": "assistant", "tool_calls": _calls(given.pop("content", None))}
    if given.get("role") == "assistant":
        message |= _trained_flag(given)
        if "function_call" in given:
            message["tool_calls"] = [{"function": given.pop("function_call")}]
    if role == "tool" and "name" in given:
        message["name"] = given.pop("name")
    for key, value in given.items():
        if key not in _MESSAGE_KEYS:
            note(key)
        elif key == "content":
            message[key] = _joined(value)
        elif key != "tool_calls" or value != []:
            message.setdefault(key, value)
    return message


def _trained_flag(given: dict[str, object]) -> dict[str, object]:
    """The weight that another name gives a turn; the flag is taken out."""
    flags = [given.pop(key) for key in _TRAINED_KEYS if isinstance(given.get(key), bool)]
    return {} if all(flags) else {"weight": 0}


def _joined(content: object) -> object:
    """Content in parts as one text, where all parts are text."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise RecordError("CONTENT_NOT_TEXT", "A message has parts that are not text.")
    return "".join(str(text) for text in texts)


def untrained(messages: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same messages, of which no assistant's bears loss."""
    return [each | {"weight": 0} if each.get("role") == "assistant" else each for each in messages]


def from_sharegpt(turns: list[object], note: Note) -> list[dict[str, object]]:
    """ShareGPT's conversations, with calls of functions and what they returned."""
    return [
        _plain_turn(turn) or _turn(turn, index, note) for index, turn in enumerate(_apart(turns))
    ]


def _apart(turns: list[object]) -> list[object]:
    """The same, where a turn has what was asked and what was answered, as two."""
    first = turns[0] if turns else None
    if not isinstance(first, dict) or "from" in first or not _PAIR & first.keys():
        return turns
    return [
        {"from": speaker, "value": value}
        for index, turn in enumerate(turns)
        for speaker, value in as_object(turn, f"conversations[{index}]").items()
    ]


def _plain_turn(turn: object) -> dict[str, object] | None:
    """The message of a turn that has a speaker and says something, as nearly all do."""
    if not isinstance(turn, dict) or len(turn) != 2:
        return None
    speaker, value = turn.get("from"), turn.get("value")
    if isinstance(speaker, str) and isinstance(value, str) and speaker in _PLAIN_SPEAKERS:
        return {"role": _PLAIN_SPEAKERS[speaker], "content": value}
    return None


def _turn(value: object, index: int, note: Note) -> dict[str, object]:
    turn = as_object(value, f"conversations[{index}]")
    for key in ("from", "value"):
        if key not in turn:
            raise RecordError("MISSING_FIELD", f"conversations[{index}] has no {key}.")
    speaker, content = turn["from"], turn["value"]
    others = {key: each for key, each in turn.items() if key not in ("from", "value")}
    if speaker == "function_call":
        return _message(others | {"role": "tool_call", "content": content}, note)
    role = _SHAREGPT_ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return _message(others | {"role": role, "content": content}, note)


def _calls(content: object) -> list[object]:
    """The calls that a turn consists of, one or several, also as JSON in a text."""
    calls = loads(content) if isinstance(content, str) else content
    return [{"function": call} for call in (calls if isinstance(calls, list) else [calls])]


def from_history(pairs: list[object]) -> list[object]:
    """Earlier turns that are pairs of what was asked and answered."""
    messages: list[object] = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            message = f"history[{index}] must be a pair of what was asked and answered."
            raise RecordError("HISTORY_INVALID", message)
        messages += [
            {"role": role, "content": text}
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
    return messages
