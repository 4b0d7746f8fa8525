"""What the API answers while a version does."""

from api.client.record import Record
from api.client.results import Failure
from jobs.status import TaskStatus
from training.serving.spec import Ending

__all__ = ["Conversation", "GenerationParameters", "GenerationUpdate"]


class GenerationParameters(Record):
    """How an answer is drawn."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Conversation(Record):
    """What a version is asked; turns in order, by role and content."""

    version_id: str
    messages: tuple[tuple[str, str], ...]
    of_base: bool = False
    parameters: GenerationParameters = GenerationParameters()

    def as_input(self) -> dict[str, object]:
        """The API's input."""
        return {
            "versionId": self.version_id,
            "messages": [{"role": role, "content": said} for role, said in self.messages],
            "ofBase": self.of_base,
            "parameters": self.parameters.model_dump(by_alias=True),
        }


class AnswerEnding(Record):
    """How an answer ended. Times are in seconds, from when the model was loaded."""

    reason: Ending
    prompt_tokens: int
    answer_tokens: int
    loading_seconds: float
    first_seconds: float
    seconds: float


class Generation(Record):
    """An answer as it stands."""

    id: str
    status: TaskStatus
    error: Failure | None
    ending: AnswerEnding | None


class GenerationUpdate(Record):
    """What is new of an answer."""

    new_text: str
    generation: Generation
