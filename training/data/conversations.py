"""The canonical form of a conversation: its messages, their order, and what tools it had.

    {"messages": [{"role": "system" | "user", "content"},
                  {"role": "assistant", "content"?, "tool_calls"?, "weight"?},
                  {"role": "tool", "content", "tool_call_id"?, "name"?}],
     "tools"?: [...]}

`weight` is 0 where an assistant's turn is not to be trained, and left out otherwise. The arguments
of a tool call are an object, as chat templates take them, also where they came as JSON in a string.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from training.data.fields import as_object, check_keys, is_plain_text, kind, printable, text
from training.data.strict_json import loads
from training.errors import RecordError

__all__ = ["Message", "canonical_messages", "canonical_tools", "trained"]

Message: TypeAlias = dict[str, object]

_ROLES: Final = ("system", "user", "assistant", "tool")

_OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "system": (),
    "user": (),
    "assistant": ("tool_calls", "weight"),
    "tool": ("tool_call_id", "name"),
}


def trained(message: Mapping[str, object]) -> bool:
    """Whether the message is an assistant's turn that bears loss."""
    return message["role"] == "assistant" and message.get("weight") != 0


def canonical_messages(value: object) -> list[Message]:
    """The messages in canonical form. Raises `RecordError` with a code and the message's place."""
    if not isinstance(value, list):
        raise RecordError("NOT_A_LIST", f"The field messages must be a list, not {kind(value)}.")
    if not value:
        raise RecordError("NO_MESSAGES", "The field messages is empty.")
    messages = [
        _plain_message(item) or _message(item, f"messages[{index}]")
        for index, item in enumerate(value)
    ]
    _check_order(messages)
    return messages


def canonical_tools(value: object) -> list[object]:
    """The tools a conversation could call, as they were given: objects of plain JSON."""
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else kind(value)
        raise RecordError("NOT_A_LIST", f"The field tools must be a list of tools, not {found}.")
    return [_plain(as_object(each, f"tools[{index}]")) for index, each in enumerate(value)]


def _plain_message(item: object) -> Message | None:
    """The message where it has a role and a text and nothing else, as nearly all have."""
    if not isinstance(item, dict) or len(item) != 2:
        return None
    role, content = item.get("role"), item.get("content")
    if role in _PLAIN_ROLES and is_plain_text(content):
        return {"role": role, "content": content}
    return None


def _message(item: object, name: str) -> Message:
    given = as_object(item, name)
    fields = {key: value for key, value in given.items() if value is not None or key == "content"}
    role = fields.get("role", _MISSING)
    calls = role == "assistant" and "tool_calls" in fields
    if role is not _MISSING and role not in _ROLES:
        shown = printable(role) if isinstance(role, str) else kind(role)
        raise RecordError(
            "UNKNOWN_ROLE", f"{name} has role {shown}; known are {', '.join(_ROLES)}."
        )
    required = ("role",) if calls else ("role", "content")
    optional = ("content", *_OPTIONAL["assistant"]) if calls else _OPTIONAL.get(str(role), ())
    check_keys(fields, required=required, optional=optional)
    message: Message = {"role": role}
    if not calls or fields.get("content"):
        message["content"] = text(fields["content"], f"{name}.content")
    if calls:
        message["tool_calls"] = _tool_calls(fields["tool_calls"], f"{name}.tool_calls")
    if _weight(fields.get("weight", 1), name) == 0:
        message["weight"] = 0
    for key in ("tool_call_id", "name"):
        if key in fields:
            message[key] = text(fields[key], f"{name}.{key}")
    return message


_MISSING: Final = object()
_PLAIN_ROLES: Final = ("system", "user", "assistant")


def _weight(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
        raise RecordError("WEIGHT_INVALID", f"{name}.weight must be 0 or 1.")
    return int(value)


def _tool_calls(value: object, name: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise RecordError("NOT_A_LIST", f"{name} must be a list of calls, not {kind(value)}.")
    return [_tool_call(each, f"{name}[{index}]") for index, each in enumerate(value)]


def _tool_call(value: object, name: str) -> dict[str, object]:
    given = {key: item for key, item in as_object(value, name).items() if item is not None}
    check_keys(given, required=("function",), optional=("id", "type"))
    if given.get("type", "function") != "function":
        raise RecordError("TOOL_CALL_INVALID", f"{name}.type must be function.")
    function = as_object(given["function"], f"{name}.function")
    check_keys(function, required=("name", "arguments"))
    arguments = function["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = loads(arguments or "{}")
        except RecordError as error:
            raise RecordError(
                "TOOL_CALL_INVALID", f"{name}.function.arguments: {error.message}"
            ) from None
    call: dict[str, object] = {
        "type": "function",
        "function": {
            "name": text(function["name"], f"{name}.function.name"),
            "arguments": _plain(as_object(arguments, f"{name}.function.arguments")),
        },
    }
    return call | ({"id": text(given["id"], f"{name}.id")} if "id" in given else {})


def _plain(value: dict[str, object]) -> object:
    """The value as it will be read again: plain JSON within the limits of reading."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError("NOT_JSON", f"A tool holds what JSON cannot: {error}.") from None
    if _NUL.search(written):
        raise RecordError("NUL_CHARACTER", "A tool contains a NUL character.")
    try:
        written.encode()
    except UnicodeEncodeError:
        raise RecordError("LONE_SURROGATE", "A tool contains half of a surrogate pair.") from None
    return loads(written)


_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of NUL, whose backslash is not itself escaped."""


def _check_order(messages: Sequence[Message]) -> None:
    """Refuse any order but system?, (user, assistant, (tool+, assistant)*)+."""
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        raise RecordError("SYSTEM_NOT_FIRST", "Only the first message may have role system.")
    if "assistant" not in roles:
        raise RecordError("NO_ASSISTANT_TURN", "The conversation has no assistant message.")
    expected: tuple[str, ...] = ("system", "user")
    for index, message in enumerate(messages):
        if message["role"] not in expected:
            raise RecordError(
                "ROLES_NOT_ALTERNATING",
                f"messages[{index}] has role {message['role']} where {_or(expected)} must follow.",
            )
        expected = _following(message)
    if roles[-1] != "assistant":
        raise RecordError("LAST_NOT_ASSISTANT", "The last message must have role assistant.")


def _following(message: Message) -> tuple[str, ...]:
    """The roles that may come after this message."""
    if message["role"] == "assistant":
        return ("tool",) if "tool_calls" in message else ("user",)
    return {"system": ("user",), "user": ("assistant",), "tool": ("tool", "assistant")}[
        str(message["role"])
    ]


def _or(roles: Sequence[str]) -> str:
    return " or ".join(role for role in roles if role != "system")
