"""Mappings: what a file is, and which of its columns plays which part in a record."""

from collections.abc import Mapping, Sequence
from typing import Any

import strawberry
from pydantic import ValidationError

from jobs.errors import InvalidInput
from schema.enums import DataType, describe
from training.data.containers.reading import Container
from training.data.containers.source import Compression
from training.data.formats import mapping as formats
from training.data.formats.shapes import Format, Part

__all__ = [
    "Compression",
    "Container",
    "DatasetMapping",
    "DatasetMappingInput",
    "LeftOutColumn",
    "left_out_columns",
]

describe(
    Container,
    "How a file holds its rows; all but PARQUET and ZIP may be compressed.",
    {
        "JSONL": "One JSON object a line.",
        "JSON": "One array of objects, or an object that holds one.",
        "CSV": "Fields between delimiters, with the columns' names in the first line.",
        "PARQUET": "Apache Parquet.",
        "TEXT": "Plain text, by its name; cut into rows as `division` says.",
        "CODE": "A source file, by its name; the whole is one row.",
        "ZIP": "An archive of such texts or source files.",
        "TAR": "An archive of such texts or source files.",
    },
    name="FileContainer",
)
describe(
    Compression,
    "What a file may be compressed by.",
    {"GZIP": "gzip.", "ZSTD": "Zstandard."},
    name="FileCompression",
)
describe(
    Format,
    "What a row means.",
    {
        "MESSAGES": "A conversation as OpenAI has it: a list of {role, content}; CHAT.",
        "SHAREGPT": "A conversation as ShareGPT has it: a list of {from, value}; CHAT.",
        "ALPACA": "An instruction, its input and the output; QA, or CHAT with a history.",
        "PROMPT_COMPLETION": "A prompt and how it goes on; COMPLETION.",
        "PROMPT_MESSAGES": "The same as two lists of messages, of which the second is trained; CHAT.",
        "QUESTION_ANSWER": "A question and its answer; QA, or CHAT with a history.",
        "TEXT": "Plain text; TEXT.",
        "CODE": "Source code; CODE.",
    },
    name="RecordFormat",
)
describe(
    Part,
    "What a column is to its format.",
    {
        "MESSAGES": "The turns of a conversation.",
        "TOOLS": "The tools that a conversation could call.",
        "SYSTEM": "What the model is told beforehand.",
        "HISTORY": "Earlier turns, as pairs of what was asked and answered.",
        "INSTRUCTION": "What is to be done.",
        "INPUT": "What it is to be done with.",
        "OUTPUT": "What came of it.",
        "PROMPT": "What is gone on from.",
        "COMPLETION": "How it goes on.",
        "QUESTION": "What is asked.",
        "ANSWER": "What is answered.",
        "TEXT": "The text.",
        "CODE": "The code.",
        "LANGUAGE": "The programming language of the code.",
    },
    name="ColumnPart",
)


@strawberry.type(description="A column, and what it is to its format.")
class MappedColumn:
    part: Part = strawberry.field(description="The part it plays.")
    column: str = strawberry.field(description="Its name in the file.")


@strawberry.type(description="What the rows of a file are taken for.")
class DatasetMapping:
    format: Format = strawberry.field(description="What a row means.")
    data_type: DataType = strawberry.field(description="The type of the records made of it.")
    columns: list[MappedColumn] = strawberry.field(description="The columns that are used.")
    ignored: list[str] = strawberry.field(
        description="Columns that were in the first rows, or were named, and are left out."
    )

    @classmethod
    def of(cls, mapping: formats.Mapping) -> "DatasetMapping":
        return cls(
            format=mapping.format,
            data_type=mapping.data_type,
            columns=[
                MappedColumn(part=part, column=name) for part, name in mapping.columns.items()
            ],
            ignored=list(mapping.ignored),
        )

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any] | None) -> "DatasetMapping | None":
        """A stored mapping, where there is one."""
        return None if stored is None else cls.of(formats.Mapping.model_validate(stored))


@strawberry.type(
    description="A column, or a key of a message, that rows had and their records lack."
)
class LeftOutColumn:
    column: str = strawberry.field(
        description="Its name; beyond the first thousand names all others are one, `…`."
    )
    rows: int = strawberry.field(description="How many rows had it.")


def left_out_columns(counts: Mapping[str, int] | None) -> list[LeftOutColumn]:
    """Those with most rows first."""
    ordered = sorted((counts or {}).items(), key=lambda item: (-item[1], item[0]))
    return [LeftOutColumn(column=name, rows=count) for name, count in ordered]


@strawberry.input(description="A column, and what it is to its format.")
class MappedColumnInput:
    part: Part = strawberry.field(description="The part it plays.")
    column: str = strawberry.field(description="Its name in the file.")


@strawberry.input(description="What the rows of a file are to be taken for.")
class DatasetMappingInput:
    format: Format = strawberry.field(description="What a row means.")
    columns: list[MappedColumnInput] = strawberry.field(
        description="The columns to use; the format says which parts it needs."
    )
    ignored: list[str] = strawberry.field(
        default_factory=list,
        description="Columns to leave out although they would make another format of the rows.",
    )

    def mapping(self, path: Sequence[str]) -> formats.Mapping:
        """What is meant; InvalidInput, at this path, where that is not possible."""
        parts = [each.part for each in self.columns]
        names = [*(each.column for each in self.columns), *self.ignored]
        twice = [part.value for part in parts if parts.count(part) > 1]
        strange = [name for name in names if not name or not name.isprintable()]
        if twice:
            raise _impossible(path, f"the part {twice[0]} is given to several columns")
        if strange:
            raise _impossible(path, f"the name {ascii(strange[0])[:40]} cannot be printed")
        try:
            return formats.Mapping(
                format=self.format,
                columns={each.part: each.column for each in self.columns},
                ignored=tuple(self.ignored),
            )
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise _impossible(path, reason) from error


def _impossible(path: Sequence[str], reason: str) -> InvalidInput:
    return InvalidInput.at(
        path,
        f"This mapping is not possible: {reason}.",
        code="MAPPING",
        remedy="Name a column for each part that the format needs, and each column once.",
    )
