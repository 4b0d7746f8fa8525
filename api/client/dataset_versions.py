"""Datasets made of others, and two side by side. Field names are the API's."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.client.answers import page
from api.client.datasets import Dataset, MappingOptions
from api.client.record import Record
from api.client.results import Page
from api.client.uploads import Upload
from training.data.containers.prose import Division
from training.data.doctor.checks import Code, Strategy

__all__ = [
    "Comparison",
    "DatasetLeaks",
    "Derivation",
    "Lines",
    "NearPair",
    "NumberedRecord",
    "comparison",
    "strategies_input",
]


class Lines(BaseModel):
    """Lines of a dataset, both ends included, counted from 1."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int


class Derivation(BaseModel):
    """What is to be made of a dataset: first some of its records go, then others are added."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str | None = None
    """The parent's, where left out."""
    remove: tuple[Lines, ...] = ()
    strategies: Mapping[Code, Strategy] = Field(default_factory=dict)
    """What becomes of those of which this was found."""
    token_examination: str | None = None
    """By its id, where strategies are about what is found in tokens."""
    remove_duplicates: bool = False
    add: tuple[Any, ...] | Upload | str | None = None
    """Records, an upload, or the id of a dataset."""
    mapping: MappingOptions | None = None
    """What the rows of records or an upload are to be taken for."""
    division: Division = Division.PASSAGES
    drop_invalid: bool = False
    """Leave out bad records that are to be added, instead of refusing all."""

    def as_input(self, parent_id: str) -> dict[str, object]:
        """The API's input."""
        return {
            "parentId": parent_id,
            "name": self.name,
            "remove": {
                "lines": [each.model_dump() for each in self.remove],
                "strategies": strategies_input(self.strategies),
                "tokenExaminationId": self.token_examination,
                "duplicates": self.remove_duplicates,
            },
            "add": _added(self.add),
            "mapping": self.mapping and self.mapping.as_input(),
            "division": self.division.value,
            "onInvalid": "DROP" if self.drop_invalid else "ERROR",
        }


def strategies_input(strategies: Mapping[Code, Strategy]) -> list[dict[str, str]]:
    """The API's input for a choice of strategies."""
    return [
        {"finding": code.value, "strategy": strategy.value} for code, strategy in strategies.items()
    ]


def _added(add: tuple[Any, ...] | Upload | str | None) -> dict[str, object] | None:
    if isinstance(add, Upload):
        return {"uploadId": add.id}
    if isinstance(add, str):
        return {"datasetId": add}
    return {"records": list(add)} if add else None


class NumberedRecord(Record):
    """A record at its line, counted from 1."""

    line: int
    content: Any


class NearPair(Record):
    """Two records, one of each dataset, that are nearly equal: their lines, from 1, and about what
    share they have in common."""

    line_in_a: int
    line_in_b: int
    similarity: float


class DatasetLeaks(Record):
    """The records of `b` that are in `a`, too, or nearly; or why that is unknown."""

    equal: int | None
    near: int | None
    pairs: tuple[NearPair, ...]
    """The first of the nearly equal."""
    unknown: str | None


class Comparison(Record):
    """Two datasets, and the first records of what each has alone and of what both have."""

    a: Dataset
    b: Dataset
    equal: bool
    only_in_a: Page[NumberedRecord]
    only_in_b: Page[NumberedRecord]
    in_both: Page[NumberedRecord]
    leaks: DatasetLeaks


def comparison(answer: Mapping[str, Any]) -> Comparison:
    """What the API found."""
    sides = {name: page(NumberedRecord, answer[name]) for name in ("onlyInA", "onlyInB", "inBoth")}
    return Comparison.model_validate({**answer, **sides})
