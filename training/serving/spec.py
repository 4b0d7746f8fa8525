"""What is asked of the process that answers, and what it says: a line of JSON each."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from training.config import Frozen
from training.events import Failure

__all__ = [
    "ABANDON",
    "Asked",
    "Ended",
    "Ending",
    "Message",
    "Parameters",
    "Piece",
    "Reply",
    "Served",
    "Speaker",
    "Unable",
    "parse_reply",
]

ABANDON: Final = b"abandon"
"""The line that ends the answer under way."""


class Speaker(StrEnum):
    """Whose turn a message is, by the names that chat templates know."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(Frozen):
    """A turn of a conversation."""

    role: Speaker
    content: str


class Parameters(Frozen):
    """How an answer is drawn. A temperature of 0 always takes the likeliest token."""

    max_new_tokens: int = Field(default=256, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Tokens are drawn from the likeliest that are so probable together."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    stop: tuple[str, ...] = Field(default=(), max_length=8)
    """Texts at which the answer ends; they are part of it."""


class Served(Frozen):
    """A trained version, or the base that it was trained from."""

    model_path: str
    """The base: a folder or a hub id."""
    version_path: str
    """The folder a run left as `model/`: its tokenizer and template count for the base too."""
    adapter: bool
    """Whether that folder holds an adapter rather than whole weights."""
    quantised: bool
    """Whether the adapter was trained beside its base in 4 bits."""
    base: bool = False
    """Whether it is the base that answers."""


class Asked(Frozen):
    """A conversation to be gone on with. It ends with the user's turn."""

    served: Served
    messages: tuple[Message, ...] = Field(min_length=1)
    parameters: Parameters


class Piece(Frozen):
    """The next part of the answer."""

    kind: Literal["Piece"] = "Piece"
    text: str


class Ending(StrEnum):
    """Why an answer ended."""

    STOP = "STOP"
    LENGTH = "LENGTH"


class Ended(Frozen):
    """The answer is whole. Times are in seconds, from when the question was read."""

    kind: Literal["Ended"] = "Ended"
    ending: Ending
    prompt_tokens: int
    answer_tokens: int
    loading_seconds: float
    """Until the model was ready; nearly nothing where it was warm."""
    first_seconds: float
    """Until the first token, the loading left out."""
    seconds: float
    """Until the last, the loading left out."""


class Unable(Frozen):
    """There is no answer, or no more of it."""

    kind: Literal["Unable"] = "Unable"
    failure: Failure


Reply = Piece | Ended | Unable
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])


def parse_reply(line: bytes) -> Reply:
    """One line of what the process says."""
    return _REPLY.validate_json(line)
