"""Rows of a file as canonical records, by a mapping."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from training.data.containers.rows import Places, RawRow, of_element
from training.data.fields import as_object, excerpt, printable
from training.data.formats.detection import fits
from training.data.formats.mapping import Mapping
from training.data.formats.shapes import Format, Part
from training.data.formats.turns import (
    Note,
    from_history,
    from_messages,
    from_sharegpt,
    listed,
    untrained,
)
from training.data.records import Record, Rejected, parse
from training.errors import RecordError

__all__ = ["Converter"]

_MAX_NAMES: Final = 1000
_MAX_LAYOUTS: Final = 1000


class Converter:
    """Makes records of rows, and counts what it left out."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._ignored = frozenset(mapping.ignored)
        self._mapped = frozenset(mapping.columns.values())
        self._layouts: dict[tuple[object, ...], str | None] = {}
        self.left_out: Counter[str] = Counter()
        """Rows for each column, or key of a message, that was in them and is not in the record;
        beyond the first thousand names all under one, `…`."""

    def records(
        self, rows: Iterable[RawRow | Rejected], places: Places | None = None
    ) -> Iterator[tuple[int, Record] | Rejected]:
        """Every row in order: as a numbered record, or refused with its line and reason, and
        with its file where `places` knows of several."""
        places = places or Places()
        for row in rows:
            if isinstance(row, Rejected):
                yield row
                continue
            try:
                yield row.line, self.record(row.value)
            except RecordError as error:
                rejected = Rejected(
                    line=row.line,
                    code=error.code,
                    message=of_element(row.element, error.message),
                    excerpt=excerpt(row.value),
                )
                yield places.named(rejected)

    def record(self, value: object) -> Record:
        """The record that one row holds. `RecordError` where it holds none, or may hold two."""
        row = as_object(value)
        self._refuse_second_format(row)
        for name, held in row.items():
            if name not in self._mapped and held is not None:
                self._leave_out(name)
        return parse(self._mapping.data_type, self._fields(row))

    def _fields(self, row: dict[str, object]) -> Record:
        match self._mapping.format:
            case Format.MESSAGES | Format.SHAREGPT | Format.PROMPT_MESSAGES:
                return self._chat(row)
            case Format.ALPACA:
                return self._asked(row, self._instruction(row), self._required(row, Part.OUTPUT))
            case Format.QUESTION_ANSWER:
                question = self._required(row, Part.QUESTION)
                return self._asked(row, question, self._required(row, Part.ANSWER))
            case Format.PROMPT_COMPLETION:
                parts = (Part.PROMPT, Part.COMPLETION)
                return {part.lower(): self._required(row, part) for part in parts}
            case Format.TEXT:
                return {"text": self._required(row, Part.TEXT)}
            case Format.CODE:
                language = self._optional(row, Part.LANGUAGE)
                return {"code": self._required(row, Part.CODE), "language": language}

    def _chat(self, row: dict[str, object]) -> Record:
        match self._mapping.format:
            case Format.SHAREGPT:
                messages = from_sharegpt(*self._turns(row, Part.MESSAGES))
            case Format.PROMPT_MESSAGES:
                messages = untrained(from_messages(*self._turns(row, Part.PROMPT)))
                messages += from_messages(*self._turns(row, Part.COMPLETION))
            case _:
                messages = from_messages(*self._turns(row, Part.MESSAGES))
        chat: Record = {"messages": [*self._system_turn(row), *messages]}
        tools = self._optional(row, Part.TOOLS)
        return chat if tools is None else chat | {"tools": listed(tools, "tools")}

    def _turns(self, row: dict[str, object], part: Part) -> tuple[list[object], Note]:
        """The turns in the column, and how to note what is left out of them."""
        column = self._mapping.columns[part]
        turns = listed(self._required(row, part), column)
        return turns, lambda key: self._leave_out(f"{column}[].{key}")

    def _asked(self, row: dict[str, object], question: object, answer: object) -> Record:
        """A question and its answer, as a conversation where there may be earlier turns."""
        if Part.HISTORY not in self._mapping.columns:
            system = self._optional(row, Part.SYSTEM)
            return {"question": question, "answer": answer, "system": system}
        history = self._optional(row, Part.HISTORY)
        return {
            "messages": [
                *self._system_turn(row),
                *from_history([] if history is None else listed(history, "history")),
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }

    def _instruction(self, row: dict[str, object]) -> object:
        """The instruction and its input, a line for each."""
        instruction = self._required(row, Part.INSTRUCTION)
        given = self._optional(row, Part.INPUT)
        if given is None:
            return instruction
        if isinstance(instruction, str) and isinstance(given, str):
            return f"{instruction}\n{given}" if instruction.strip() else given
        raise RecordError("NOT_A_STRING", "The instruction and its input must both be text.")

    def _system_turn(self, row: dict[str, object]) -> list[object]:
        system = self._optional(row, Part.SYSTEM)
        return [] if system is None else [{"role": "system", "content": system}]

    def _required(self, row: dict[str, object], part: Part) -> object:
        column = self._mapping.columns[part]
        if row.get(column) is None:
            raise RecordError("MISSING_FIELD", f"The column {printable(column)} is missing.")
        return row[column]

    def _optional(self, row: dict[str, object], part: Part) -> object:
        """What the column holds; None where there is none or it is blank."""
        column = self._mapping.columns.get(part)
        value = None if column is None else row.get(column)
        return None if isinstance(value, str) and not value.strip() else value

    def _leave_out(self, name: str) -> None:
        known = name in self.left_out or len(self.left_out) < _MAX_NAMES
        self.left_out[name if known else "…"] += 1

    def _refuse_second_format(self, row: dict[str, object]) -> None:
        """Refuse a row with columns that nobody has named and that make another format of it."""
        layout = tuple(name for name, value in row.items() if value is not None)
        if self._mapped.union(self._ignored).issuperset(layout):
            return
        if layout not in self._layouts:
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[layout] = self._second_format(row)
        if second := self._layouts[layout]:
            has_own = not self._mapped.isdisjoint(layout)
            taken = "is mapped as" if has_own else "has no column of"
            also = "also fits" if has_own else "fits"
            raise RecordError(
                "FORMAT_AMBIGUOUS",
                f"The row {taken} {self._mapping.format} and {also} {second}.",
            )

    def _second_format(self, row: dict[str, object]) -> str | None:
        for fit in fits(row, self._ignored):
            names = {name for found in fit.parts.values() for name in found}
            if fit.format is not self._mapping.format and not names <= self._mapped:
                return fit.described()
        return None
