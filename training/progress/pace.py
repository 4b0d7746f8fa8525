"""How long an attempt will take, told from its first steps while most of them lie ahead."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_LOOK_SECONDS: Final = 2.0
"""So long the pace is watched, once the first measurement has shown that all is warm."""
_LOOK_SHARE: Final = 0.2
"""Or until this share of the steps is done."""
_LATEST_SHARE: Final = 0.5
"""An estimate that comes later than this is of no use, and is not made."""

SCORING_COST: Final = 0.4
"""Seconds to score a token, where 1 is spent to train on it: nothing goes backward."""
WRITING_BYTES_PER_SECOND: Final = 300e6
"""At which checkpoints reach the disk and are read back to be verified."""


class Remaining(NamedTuple):
    """What an attempt has to do, from its first step to its end."""

    step_tokens: Sequence[int]
    """Tokens of each optimizer step."""
    scored_tokens: int
    """Tokens of all validations."""
    written_bytes: int
    """Of all checkpoints, and of the model."""
    answering_seconds: float
    """For the sample prompts at the end."""


class Stopwatch:
    """Watches the first steps and tells, once, how long the attempt will take."""

    def __init__(
        self,
        remaining: Remaining,
        *,
        first_step: int,
        age: Callable[[], float],
        tell: Callable[[float], None],
    ) -> None:
        """`age` is the process's, in seconds; `tell` is given the age at the attempt's end."""
        self._remaining = remaining
        self._first_step = first_step
        self._age = age
        self._tell = tell
        self._warm: tuple[float, float] | None = None
        self._is_done = False
        self._began = age()

    def measured(self, steps: float) -> None:
        """So many optimizer steps are done, counted from the run's start, parts of one included."""
        if self._is_done:
            return
        done = steps - self._first_step
        share = done / len(self._remaining.step_tokens)
        now, tokens = self._age(), self._tokens(done)
        warm_at, warm_tokens = self._warm or (self._began, 0.0)
        if share > _LATEST_SHARE:
            self._is_done = True
        elif (now - warm_at >= _LOOK_SECONDS and self._warm) or share >= _LOOK_SHARE:
            self._is_done = True
            self._tell(now + self._seconds_left(tokens, (now - warm_at) / (tokens - warm_tokens)))
        elif self._warm is None:
            self._warm = (now, tokens)

    def _seconds_left(self, tokens: float, seconds_per_token: float) -> float:
        left = self._remaining
        return (
            (sum(left.step_tokens) - tokens + SCORING_COST * left.scored_tokens) * seconds_per_token
            + left.written_bytes / WRITING_BYTES_PER_SECOND
            + left.answering_seconds
        )

    def _tokens(self, steps: float) -> float:
        whole = int(steps)
        tokens = float(sum(self._remaining.step_tokens[:whole]))
        if whole < len(self._remaining.step_tokens):
            tokens += (steps - whole) * self._remaining.step_tokens[whole]
        return tokens
