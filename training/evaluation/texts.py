"""Whether an answer is the expected one, and how much of it: the measures of SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016, section 6.1. Both
texts are compared in lower case, without punctuation, articles and surplus blanks. Beside their
English articles nothing here knows a language.
"""

import re
import unicodedata
from collections import Counter
from typing import NamedTuple

__all__ = ["Overlap", "normalised", "overlap"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Overlap(NamedTuple):
    """How far a given answer is the expected one; each from 0 to 1."""

    exact: bool
    """Whether both are the same once normalised."""
    precision: float
    """The share of the given words that are expected."""
    recall: float
    """The share of the expected words that are given."""

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def overlap(given: str, expected: str) -> Overlap:
    """Compare two texts word by word, each as often as it occurs.

    Where one has no word, both must have none.
    """
    a, b = normalised(given), normalised(expected)
    words, wanted = Counter(a.split()), Counter(b.split())
    if not words or not wanted:
        same = float(words == wanted)
        return Overlap(a == b, same, same)
    shared = (words & wanted).total()
    return Overlap(a == b, shared / words.total(), shared / wanted.total())


def normalised(text: str) -> str:
    """A text in lower case, without punctuation, articles and surplus blanks."""
    letters = (each for each in text.lower() if not _is_punctuation(each))
    return " ".join(_ARTICLES.sub(" ", "".join(letters)).split())


def _is_punctuation(letter: str) -> bool:
    """ASCII's signs, as SQuAD has them, and what Unicode calls punctuation."""
    return unicodedata.category(letter).startswith("P") or letter in "$+<=>^`|~"
