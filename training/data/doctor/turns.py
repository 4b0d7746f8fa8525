"""What is odd about the turns of a conversation that is in order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from training.config import DataType
from training.data.conversations import trained
from training.data.doctor.checks import BITS, Code
from training.data.doctor.contents import Content, messages_of
from training.data.records import Record

__all__ = ["turn_marks"]


def turn_marks(data_type: DataType, record: Record, content: Content) -> int:
    """The bits of what is odd about who says what."""
    if data_type is not DataType.CHAT:
        return _repeats(*content.turns) if len(content.turns) == 2 else 0
    messages = messages_of(record)
    marks = 0
    if not any(map(trained, messages)):
        marks |= BITS[Code.NO_TRAINED_TURN]
    for asked, said in pairwise(messages):
        if asked["role"] == "user" and "content" in said:
            marks |= _repeats(str(asked["content"]), str(said["content"]))
    if any("tool_calls" in message for message in messages):
        marks |= _tool_marks(record, messages)
    return marks


def _repeats(prompt: str, answer: str) -> int:
    return BITS[Code.ANSWER_REPEATS_PROMPT] if prompt.strip() == answer.strip() else 0


def _tool_marks(record: Record, messages: Sequence[Mapping[str, object]]) -> int:
    marks = 0
    declared = {_name(tool) for tool in _objects(record.get("tools"))}
    for index, message in enumerate(messages):
        calls = _objects(message.get("tool_calls"))
        if {_name(call) for call in calls} - declared:
            marks |= BITS[Code.UNDECLARED_TOOL]
        if calls and not _answered(calls, _results(messages[index + 1 :])):
            marks |= BITS[Code.TOOL_RESULTS_MISMATCH]
    return marks


def _name(tool: Mapping[str, object]) -> str:
    """The name of a tool or of a call of one; some declare tools without the object around."""
    function = tool.get("function")
    return str((function if isinstance(function, dict) else tool).get("name"))


def _results(messages: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The tool messages at the beginning."""
    end = next((i for i, each in enumerate(messages) if each["role"] != "tool"), len(messages))
    return list(messages[:end])


def _answered(
    calls: Sequence[Mapping[str, object]], results: Sequence[Mapping[str, object]]
) -> bool:
    """Whether each call has its result; the calls that end a conversation have none."""
    if not results:
        return True
    known = {call["id"] for call in calls if "id" in call}
    named = [result["tool_call_id"] for result in results if "tool_call_id" in result]
    if known and (len(set(named)) < len(named) or not known.issuperset(map(str, named))):
        return False
    return len(calls) == len(results)


def _objects(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
