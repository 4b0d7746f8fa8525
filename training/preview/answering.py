"""A preview: some records of a dataset, token for token, by the renderer of the training loop."""

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from training.data.choosing import settle_template
from training.data.records import Record, parse
from training.data.rendering import Renderer
from training.data.rows import IGNORED, Row
from training.errors import DatasetDamaged, RecordError
from training.models.sources import tokenizer_folder
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.preview.counting import counted_rows
from training.preview.leaking import SideLines, leaked
from training.preview.questions import (
    MOST_TOKENS,
    LeaksAnswer,
    Preview,
    PreviewedRecord,
    PreviewQuestion,
    RowsAnswer,
    RowsQuestion,
)
from training.templates.errors import TemplateUnusable
from training.templates.guard import TookTooLong, time_limited

__all__ = ["Previewer"]

RENDERING_SECONDS: Final = 5.0
"""Of computing, for the records of one preview."""

_KEPT: Final = 2
"""Tokenizers that stay loaded: each takes some 50 to 300 MB."""

_REMEMBERED: Final = 4
"""Runs whose sides were counted last, of which more is likely to be asked next: each takes less than
a megabyte."""

_FILES: Final = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json",
    "config.json",
)  # fmt: skip


@dataclass(frozen=True)
class _Loaded:
    tokenizer: PreTrainedTokenizerBase
    own_template: object
    stop_ids: frozenset[int]


@dataclass
class Previewer:
    """Answers what is asked of a run's records, and keeps the tokenizers that it used last."""

    _loaded: OrderedDict[object, _Loaded] = field(default_factory=OrderedDict)
    _sides: deque[tuple[RowsQuestion, SideLines]] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED)
    )

    def preview(self, asked: PreviewQuestion) -> Preview:
        """The records asked for. Raises the `TrainingError` that would end a run over them."""
        renderer = self._renderer(asked)
        tokenizer, stops = renderer.tokenizer, renderer.stop_token_ids
        template = tokenizer.chat_template
        return Preview(
            records=_rendered(renderer, asked),
            chat_template=template if isinstance(template, str | None) else json.dumps(template),
            stop_tokens=tuple(tokenizer.convert_ids_to_tokens(sorted(stops))),
        )

    def rows(self, asked: RowsQuestion) -> RowsAnswer:
        """What would become of a run's records, as far as that is soon known. Raises the
        `TrainingError` that would end the run over one of them."""
        config = asked.config
        beginning = PreviewQuestion(
            model_path=asked.model_path,
            dataset_path=asked.data.path,
            data_type=asked.data_type,
            after_line=0,
            count=asked.shown,
            chat_template=config.chat_template,
            train_on=config.train_on,
            max_sequence_length=config.max_sequence_length,
        )
        renderer = self._renderer(beginning)
        shown = _rendered(renderer, beginning)
        counted = counted_rows(asked, renderer)
        if counted and counted.sides:
            self._sides.append((asked, counted.sides))
        return RowsAnswer(rows=counted and counted.rows, shown=shown)

    def leaks(self, asked: RowsQuestion) -> LeaksAnswer:
        """What leaks from one side of a run into the other, exactly where its rows were counted by
        this very question. Raises `DatasetDamaged`, `ExaminationDamaged`."""
        counted = (sides for question, sides in self._sides if question == asked)
        return leaked(asked, next(counted, None))

    def _renderer(self, asked: PreviewQuestion) -> Renderer:
        loaded = self._load(asked.model_path)
        tokenizer = loaded.tokenizer
        tokenizer.chat_template = loaded.own_template
        return Renderer(
            tokenizer,
            asked.data_type,
            stop_token_ids=settle_template(tokenizer, asked.chat_template, loaded.stop_ids),
            max_length=asked.max_sequence_length,
            train_on=asked.train_on,
        )

    def _load(self, source: str) -> _Loaded:
        folder = tokenizer_folder(source)
        key = (folder, *(_changed(folder / name) for name in _FILES))
        if key not in self._loaded:
            tokenizer = load_tokenizer(str(folder))
            self._loaded[key] = _Loaded(
                tokenizer, tokenizer.chat_template, declared_stop_ids(str(folder), tokenizer)
            )
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]


def _rendered(renderer: Renderer, asked: PreviewQuestion) -> tuple[PreviewedRecord, ...]:
    try:
        with time_limited(RENDERING_SECONDS):
            return tuple(
                _previewed(renderer, renderer.row(line, record)) for line, record in _records(asked)
            )
    except TookTooLong:
        raise TemplateUnusable(
            f"{asked.count} records are not rendered after {RENDERING_SECONDS:.0f} seconds of computing"
        ) from None


def _changed(path: Path) -> int:
    """When a file was written last, in nanoseconds; 0 where there is none."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def _records(asked: PreviewQuestion) -> Iterator[tuple[int, Record]]:
    path = Path(asked.dataset_path)
    try:
        with path.open("rb") as file:
            lines = enumerate(file, start=1)
            for line, content in islice(lines, asked.after_line, asked.after_line + asked.count):
                try:
                    yield line, parse(asked.data_type, json.loads(content))
                except (ValueError, RecursionError, RecordError) as error:
                    raise DatasetDamaged(path, f"line {line}: {error}".rstrip(".")) from error
    except OSError as error:
        raise DatasetDamaged(path, str(error.strerror)) from error


def _previewed(renderer: Renderer, whole: Row) -> PreviewedRecord:
    row = whole.cut(renderer.max_length)
    shown = row.cut(MOST_TOKENS)
    return PreviewedRecord(
        line=row.line,
        token_ids=tuple(shown.input_ids),
        token_texts=tuple(_texts(renderer.tokenizer, shown.input_ids)),
        trained=tuple(label != IGNORED for label in shown.labels),
        tokens_cut=len(row.input_ids) > len(shown.input_ids),
        token_count=len(whole.input_ids),
        trained_token_count=row.trained_tokens,
        truncated=len(whole.input_ids) > len(row.input_ids),
    )


def _texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Iterator[str]:
    """What each token adds to the text of those before it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        yield from (str(tokenizer.decode([each])) for each in ids)
        return
    stream = DecodeStream(skip_special_tokens=False)
    for each in ids:
        yield stream.step(backend, each) or ""
