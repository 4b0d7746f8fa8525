"""What a file's columns are taken for: found by us, shown to its owner, corrected by them."""

from typing import Self

from pydantic import model_validator

from training.config import DataType, Frozen
from training.data.formats.shapes import SHAPES, Format, Part

__all__ = ["Mapping"]


class Mapping(Frozen):
    """A format, and which column plays which part in it."""

    format: Format
    columns: dict[Part, str]
    ignored: tuple[str, ...] = ()
    """Columns that are known to be there and are left out."""

    @model_validator(mode="after")
    def _parts_belong_together(self) -> Self:
        shapes = [shape for shape in SHAPES if shape.format is self.format]
        known = {part for shape in shapes for part in (*shape.required, *shape.optional)}
        foreign = [part for part in self.columns if part not in known]
        if foreign:
            raise ValueError(
                f"{self.format} has no part {foreign[0]}; it has {', '.join(sorted(known))}"
            )
        missing = [part for part in shapes[0].required if part not in self.columns]
        if missing:
            raise ValueError(f"{self.format} needs a column for {missing[0]}")
        names = [*self.columns.values(), *self.ignored]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"the column {twice[0][:40]!r} is named twice")
        return self

    @property
    def data_type(self) -> DataType:
        """The type of the records that the rows become."""
        if Part.HISTORY in self.columns:
            return DataType.CHAT
        return _DATA_TYPES[self.format]


_DATA_TYPES = {
    Format.MESSAGES: DataType.CHAT,
    Format.SHAREGPT: DataType.CHAT,
    Format.ALPACA: DataType.QA,
    Format.PROMPT_COMPLETION: DataType.COMPLETION,
    Format.PROMPT_MESSAGES: DataType.CHAT,
    Format.QUESTION_ANSWER: DataType.QA,
    Format.TEXT: DataType.TEXT,
    Format.CODE: DataType.CODE,
}
