"""What a canonical record says, whatever its type, as the checks look at it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from training.config import DataType
from training.data.conversations import trained
from training.data.records import Record, canonical_line

__all__ = ["Content", "content_of", "messages_of", "written"]


class Content(NamedTuple):
    """The texts of a record."""

    system: str
    """What is said to the model before anything else; often the same in all records."""
    turns: list[str]
    """Every other text, in order, tool calls as JSON."""
    prompt: str | None
    """All that the last answer answers, the system's text and the tools too; None for TEXT and CODE."""
    characters: int
    """Of everything, as `Statistics` counts."""
    trained_characters: int
    messages: int

    @property
    def body(self) -> str:
        """What makes the record different from others: its texts without the system's."""
        return "\n".join(self.turns)

    @property
    def whole(self) -> str:
        """Every text of the record."""
        return "\n".join((self.system, *self.turns)) if self.system else self.body


def content_of(data_type: DataType, record: Record) -> Content:
    """The texts of one canonical record."""
    if data_type is DataType.CHAT:
        return _conversation(record)
    if data_type is DataType.QA:
        return _answered(record, "question", "answer")
    if data_type is DataType.COMPLETION:
        return _answered(record, "prompt", "completion")
    text = str(record["text" if data_type is DataType.TEXT else "code"])
    characters = len(text) + len(str(record.get("language", "")))
    return Content("", [text], None, characters, len(text), 0)


def written(data_type: DataType, record: Record) -> list[str]:
    """The texts of a record that a person wrote and a template must show: no tools, no calls."""
    if data_type is not DataType.CHAT:
        content = content_of(data_type, record)
        return [content.system, *content.turns]
    return [str(each["content"]) for each in messages_of(record) if "content" in each]


def messages_of(record: Record) -> list[dict[str, object]]:
    """The messages of a CHAT record."""
    return list(_objects(record["messages"]))


def _answered(record: Record, question: str, answer: str) -> Content:
    system, asked, said = (str(record.get(name, "")) for name in ("system", question, answer))
    characters = len(system) + len(asked) + len(said)
    prompt = f"{system}\n{asked}" if system else asked
    return Content(system, [asked, said], prompt, characters, len(said), 0)


def _conversation(record: Record) -> Content:
    messages = messages_of(record)
    system = str(messages[0]["content"]) if messages[0]["role"] == "system" else ""
    turns: list[str] = []
    last_answer = trained_characters = 0
    for message in messages[1:] if system else messages:
        if message["role"] == "assistant":
            last_answer = len(turns)
        start = len(turns)
        if "content" in message:
            turns.append(str(message["content"]))
        if "tool_calls" in message:
            turns += [_json(call) for call in _objects(message["tool_calls"])]
        if trained(message):
            trained_characters += sum(map(len, turns[start:]))
    tools = [_json(tool) for tool in _objects(record.get("tools"))]
    characters = len(system) + sum(map(len, turns)) + sum(map(len, tools))
    prompt = "\n".join((system, *tools, *turns[:last_answer]))
    return Content(system, turns, prompt, characters, trained_characters, len(messages))


def _objects(value: object) -> Iterable[dict[str, object]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _json(value: Mapping[str, object]) -> str:
    return canonical_line(value).decode().rstrip("\n")
