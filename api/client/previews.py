"""What the API answers about a dataset in tokens. Field names are the API's."""

from typing import Any, Self

from api.client.record import Record
from jobs.status import TaskStatus
from training.config import TrainOn

__all__ = ["CountedTokens", "DatasetPreview", "PreviewOptions", "PreviewedRecord", "PreviewedToken"]


class PreviewOptions(Record):
    """How to render; what is left out takes a run's default."""

    chat_template: str | None = None
    train_on: TrainOn | None = None
    max_sequence_length: int | None = None

    def as_input(self) -> dict[str, object]:
        """The API's input; what was not said is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class PreviewedToken(Record):
    """A token, what it adds to the text, and whether it is trained."""

    id: int
    text: str
    trained: bool


class PreviewedRecord(Record):
    """A record as the training loop would see it; of a long one, its first tokens are shown."""

    line: int
    tokens: tuple[PreviewedToken, ...]
    tokens_cut: bool
    token_count: int
    trained_token_count: int
    truncated: bool


class CountedTokens(Record):
    """How far a worker is that looks at a dataset's tokens: `progress` is 0 to 100."""

    id: str
    status: TaskStatus
    progress: float


class DatasetPreview(Record):
    """Records of a dataset in tokens."""

    chat_template: str | None
    stop_tokens: tuple[str, ...]
    records: tuple[PreviewedRecord, ...]
    total_count: int
    end_cursor: str | None
    has_next_page: bool

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """An accepted answer."""
        records = answer["records"]
        return cls.model_validate(
            {
                **answer,
                "records": [edge["node"] for edge in records["edges"]],
                "totalCount": records["totalCount"],
                **records["pageInfo"],
            }
        )
