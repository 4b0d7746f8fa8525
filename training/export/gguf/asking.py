"""What llama.cpp makes of a GGUF file: `python -P -m training.export.gguf.asking FILE [--stop ID …]
[--composed] [--blank-first] [--base FOLDER --words FOLDER] OUT_DIR`.

The questions of `OUT_DIR/questions.json` go in, `Answers` come out. Nothing but the file is known
here: conversations are rendered by the template in it, by llama-cpp-python's own renderer, and
texts become tokens by llama.cpp's code. `--stop` are the tokens at which the trained model stops,
each of which must end an answer here. `--composed` and `--blank-first` are what the file leaves to
its caller: text in NFC, and a blank before text that is no chat. A file that holds an adapter alone is
laid beside the model of the folder `--base`, written as a file with what `--words` has of a tokenizer.
"""

import argparse
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np
import torch
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from training.export.answers import WHOLE, Answers, ask
from training.export.gguf.writing import Titles, write_file
from training.export.questions import HOSTILE_STRINGS, Question
from training.export.reading import LONGEST_TEXT, Reading
from training.export.spec import WeightType

__all__ = ["AskedFile", "answers_of", "opened"]

_TEMPLATE: Final = "tokenizer.chat_template"
_FULL_CACHE: Final = llama_cpp.GGML_TYPE_F32
"""Keys and values are kept as they are computed, so that the figures are those of the weights."""
_TURN: Final[tuple[dict[str, object], ...]] = (
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello"},
)


class AskedFile:
    """A file that llama.cpp has loaded."""

    def __init__(self, model: Llama, *, composed: bool, blank_first: bool) -> None:
        self._model = model
        self._composed = composed
        self._blank_first = blank_first
        self._template = model.metadata.get(_TEMPLATE)

    def prompt(self, question: Question) -> str:
        """The text of a question."""
        if not question.messages:
            return question.text
        if self._template is None:
            return "\n".join(str(message.get("content", "")) for message in question.messages)
        return self.rendered(question.messages, question.tools, asks=question.awaits_answer)

    def is_rendered(self, question: Question) -> bool:
        """Whether the chat template says how the text begins, instead of the tokenizer."""
        return bool(question.messages) and self._template is not None

    def rendered(
        self, messages: Sequence[dict[str, object]], tools: list[object] | None, *, asks: bool
    ) -> str:
        """A conversation by the file's own template."""
        formatter = Jinja2ChatFormatter(
            template=self._template or "",
            eos_token=self._text(self._model.token_eos()),
            bos_token=self._text(self._model.token_bos()),
            add_generation_prompt=asks,
        )
        given: Any = {"messages": list(messages), "tools": tools}  # typed by role there
        return str(formatter(**given).prompt)

    def tokens(self, text: str, *, framed: bool) -> tuple[int, ...]:
        """`framed` puts around the text what the file says belongs there."""
        if self._composed:
            text = unicodedata.normalize("NFC", text)
        if self._blank_first and framed and text and not text.startswith(" "):
            text = f" {text}"
        return tuple(self._model.tokenize(text.encode(), add_bos=framed, special=True))

    def ends(self, token: int) -> bool:
        """Whether an answer ends at this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._model._model.vocab, token))

    def ends_a_turn(self) -> bool:
        """Whether an answer ends where an assistant's turn does."""
        if self._template is None:
            return self.ends(self._model.token_eos())
        asked = self.rendered(_TURN[:1], None, asks=True)
        said = self.rendered(_TURN, None, asks=False).removeprefix(asked)
        return any(self.ends(token) for token in self.tokens(said, framed=False))

    def leading_bos(self, prompt: str) -> int:
        """How many BOS a rendered prompt begins with, by the rule of llama.cpp's server: it takes
        the template's away where the file says that one is put before every text."""
        bos = self._model.token_bos()
        adds = self.tokens("a", framed=True)[:1] == (bos,)
        ids = self.tokens(prompt.removeprefix(self._text(bos)) if adds else prompt, framed=True)
        return next((place for place, each in enumerate(ids) if each != bos), len(ids))

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """At every position."""
        self._model.n_tokens = 0  # what was asked before is forgotten
        self._model.eval(ids)
        return torch.from_numpy(np.array(self._model.scores[: len(ids)], dtype=np.float32))

    def _text(self, token: int) -> str:
        return str(self._model._model.token_get_text(token)) if token >= 0 else ""


@contextmanager
def opened(
    file: Path, *, adapter: Path | None, composed: bool, blank_first: bool
) -> Iterator[AskedFile]:
    """Load a file, and an adapter beside it, as long as the block lasts.

    Raises `ValueError` where llama.cpp cannot.
    """
    try:
        model = Llama(
            str(file),
            n_ctx=LONGEST_TEXT,
            n_batch=LONGEST_TEXT,
            n_ubatch=LONGEST_TEXT,
            logits_all=True,
            lora_path=None if adapter is None else str(adapter),
            type_k=_FULL_CACHE,
            type_v=_FULL_CACHE,
            verbose=False,
        )
    except ValueError as error:  # it is told to users, who have no need of this machine's folders
        raise ValueError(str(error).replace(str(file), file.name)) from error
    try:
        yield AskedFile(model, composed=composed, blank_first=blank_first)
    finally:
        model.close()


def answers_of(asked: AskedFile, questions: Sequence[Question], *, stops: Sequence[int]) -> Answers:
    """What the file says to the questions."""
    prompts = [asked.prompt(question) for question in questions]
    input_ids = [
        asked.tokens(prompt, framed=not asked.is_rendered(question))[:LONGEST_TEXT]
        for question, prompt in zip(questions, prompts, strict=True)
    ]
    reading = Reading(
        names=tuple(question.name for question in questions),
        prompts=tuple(prompts),
        input_ids=tuple(input_ids),
        hostile_ids=tuple(asked.tokens(text, framed=True) for text in HOSTILE_STRINGS),
        stops_at_end_of_turn=asked.ends_a_turn() and all(map(asked.ends, stops)),
        leading_bos=asked.leading_bos(prompts[0]),
    )
    return Answers(reading, {WHOLE: [asked.logits(ids) for ids in input_ids]})


def main(arguments: list[str] | None = None) -> int:
    """Ask one file; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.export.gguf.asking", description="Ask a GGUF file."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--stop", type=int, action="append", default=[], help="must end an answer")
    parser.add_argument("--composed", action="store_true", help="give it text in NFC")
    parser.add_argument("--blank-first", action="store_true", help="begin what is no chat with one")
    parser.add_argument("--base", type=Path, help="the model that an adapter belongs to")
    parser.add_argument("--words", type=Path, help="where the tokenizer of an adapter lies")
    options = parser.parse_args(arguments)
    ask(options.out_dir, lambda questions: _answered(options, questions))
    return 0


def _answered(options: argparse.Namespace, questions: Sequence[Question]) -> Answers:
    file, adapter = options.file, None
    if options.base is not None:
        file, adapter = options.out_dir / "base.gguf", options.file
        titles = Titles(model_name="base", base_name="base", licence=None)
        write_file(options.base, file, WeightType.F32, titles, words=options.words)
    with opened(
        file, adapter=adapter, composed=options.composed, blank_first=options.blank_first
    ) as asked:
        return answers_of(asked, questions, stops=options.stop)


if __name__ == "__main__":
    sys.exit(main())
