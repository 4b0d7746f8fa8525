"""What the trained model and an exported file are both asked, and texts that tokenizers trip over."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from training.config import Frozen

__all__ = ["FIXED", "HOSTILE_STRINGS", "Question", "read_questions", "write_questions"]


class Question(Frozen):
    """A conversation, or a plain text: logits are compared at each of its tokens."""

    name: str
    """By which a message refers to it without its words, which may be a user's."""
    messages: tuple[dict[str, object], ...] = ()
    """Empty for a plain text."""
    tools: list[object] | None = None
    text: str = ""
    awaits_answer: bool = False
    """Whether the prompt for an answer follows the last message."""


def _asked(number: int, text: str) -> Question:
    """A user's message that awaits an answer."""
    message: dict[str, object] = {"role": "user", "content": text}
    return Question(name=f"fixed text {number}", messages=(message,), awaits_answer=True)


_TEXTS: Final = (
    "What is the capital of France?",
    "Explain in two sentences why the sky is blue.",
    "Write a Python function that returns the n-th Fibonacci number.\n\n    def fib(n):",
    "Translate to German: Good morning, how are you today?",
    "12 + 30 = ?  And 1.5e3 - 499?",
    "Déjà vu: naïve café, 東京, Привет, 🙂!",
)
_CONVERSATION: Final = Question(
    name="fixed conversation",
    messages=(
        {"role": "user", "content": "Which planet is the largest?"},
        {"role": "assistant", "content": "Jupiter is."},
        {"role": "user", "content": "And the smallest?"},
    ),
    awaits_answer=True,
)
FIXED: Final = (*(_asked(i, text) for i, text in enumerate(_TEXTS, start=1)), _CONVERSATION)

HOSTILE_STRINGS: Final = (
    "",
    " ",
    "  ",
    "   leading and trailing   ",
    "\n",
    "\n\n\n",
    "\t\tdef f(x):\n\t\t\treturn x  # tab",
    "a\r\nb\rc",
    "no\u00a0break\u2003spaces\u200b\u3000here",
    "1",
    "12345678901234567890",
    "3.14159, 1e-10, 0x1F, 1_000",
    "  1 2  3   4",
    "HELLO Hello hello hELLO",
    "don't I'LL we've CAN'T it's",
    "\u2019s smart \u2018quotes\u2019 \u201cand\u201d dashes \u2013 \u2014 \u2026",
    "café cafe\u0301 \u212b \u00c5 A\u030a",
    "\ufb01 \u2460 \u00bd \uff21\uff22\uff23",
    "東京は日本の首都です。北京\uff0c上海",
    "안녕하세요 세계",
    "Привет, мир! Ёлка",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "🙂👩\u200d👩\u200d👧\u200d👦🏳\ufe0f\u200d🌈🇩🇪👍🏽",
    "!!!???...;;;:::---___***///\\\\\\",
    "<|im_end|><|endoftext|></s><s>[INST]<bos>",
    "< | im_end | >",
    "<br/>{{ x }}{% if y %}`${z}`",
    "https://example.org/a_b?c=d&e=%20f#g",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\x00\x01\x7f\u0085\ufeff\ufffd",
    "x" + "\u0301" * 8,
)
"""Blanks, digits, quotes, normal forms, scripts, emoji, text that looks like special tokens, control
characters: where pre-tokenizers of different runtimes part."""

_QUESTIONS: Final = TypeAdapter(tuple[Question, ...])


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Store for `read_questions`, in the process that loads the exported file."""
    path.write_bytes(_QUESTIONS.dump_json(tuple(questions)))


def read_questions(path: Path) -> tuple[Question, ...]:
    """What `write_questions` stored."""
    return _QUESTIONS.validate_json(path.read_bytes())
