"""How a child process came to its end, and what that means for the next attempt."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from training.devices.launch import SIGNALLED
from training.devices.token_budget import Bid, TokenBudget
from training.errors import DiskFull
from training.estimates import MemoryEstimate
from training.events import Failure

__all__ = ["Death", "Verdict", "unsaved"]

_KILLED: Final = frozenset({-signal.SIGKILL, SIGNALLED + signal.SIGKILL})
"""How a run exits that was ended by SIGKILL, or one of whose processes was."""
_AGAIN: Final = "It is tried again from its newest checkpoint"
_WITH_LESS: Final = ", with half as many tokens held at once."
_AT_A_GUESS: Final = "; signal 9 often means too little memory."


class Verdict(NamedTuple):
    """What a death means."""

    failure: Failure
    counts: bool
    """Whether it is one of the crashes that a job may have. A death for lack of memory is none where
    the next attempt needs less: that comes to its end by itself."""
    is_final: bool
    """Whether another attempt would die as well."""


@dataclass(frozen=True)
class Death:
    """The end of a child without a last word."""

    exit_code: int
    tail: str
    """What it printed last."""
    silent: bool
    """Whether it was ended for saying nothing."""
    asked: bool
    """Whether it was asked to leave, so that its worker may have ended it."""
    kernel_kills: int | None
    """How many processes the kernel ended for lack of memory meanwhile; None where it does not say."""

    def judged(self, folder: Path, memory: MemoryEstimate | None) -> Verdict:
        """What it means; a child that lacked memory is succeeded by one that holds half as many
        tokens of the job in `folder` at once.

        `memory` is what the attempt was estimated to need, where it came that far.
        """
        if self.silent:
            return Verdict(_silent(), counts=True, is_final=False)
        if self.asked or self.exit_code not in _KILLED:
            return Verdict(self._crash(f"{_AGAIN}.", memory=None), counts=True, is_final=False)
        cause = self._lack_of_memory(memory)
        bid = Bid.UNKNOWN if cause is None else _bid_half(folder, f"The process before {cause}.")
        if bid is Bid.LEAST:
            return Verdict(_out_of_memory(cause, memory), counts=True, is_final=True)
        less = bid is Bid.HALF
        remedy = f"{_AGAIN}{_WITH_LESS if less else _AT_A_GUESS}"
        return Verdict(self._crash(remedy, memory, cause), counts=not less, is_final=False)

    def _lack_of_memory(self, memory: MemoryEstimate | None) -> str | None:
        """How lack of memory ended a child that was killed, as a predicate; None where nothing says
        that it did.

        The kernel counts those it ends. Where it does not say, the signal alone must tell; where it
        ended none, a daemon that watches memory may have, if there was too little of it.
        """
        if self.kernel_kills:
            return "was ended by the kernel for lack of memory"
        if self.kernel_kills is None or (memory is not None and not memory.fits):
            return "died with signal 9, probably for lack of memory"
        return None

    def _crash(
        self, remedy: str, memory: MemoryEstimate | None, cause: str | None = None
    ) -> Failure:
        how = f"died with {_how(self.exit_code)}" if cause is None else cause
        message = f"The training process {how}.{_last_words(self.tail)}"
        if memory is not None:
            message = f"{message} {_estimated(memory)}"
            remedy = remedy if memory.fits else f"{remedy} {memory.remedy()}"
        return Failure(code="CHILD_CRASHED", message=message, remedy=remedy)


def unsaved(exit_code: int, tail: str) -> Failure:
    """Why a job is paused at an older step than it had reached."""
    return Failure(
        code="PAUSED_UNSAVED",
        message="The training process ended before it had saved its newest step, with "
        f"{_how(exit_code)}.{_last_words(tail)}",
        remedy="Resume the job; it goes on from its newest checkpoint.",
    )


def _bid_half(folder: Path, reason: str) -> Bid:
    try:
        return TokenBudget(folder).bid_half(reason)
    except DiskFull:
        return Bid.UNKNOWN


def _silent() -> Failure:
    return Failure(
        code="CHILD_SILENT",
        message="The training process did not advance for too long and was ended.",
        remedy=f"{_AGAIN}.",
    )


def _out_of_memory(cause: str | None, memory: MemoryEstimate | None) -> Failure:
    message = f"The training process {cause}, though it held as few tokens at once as it can."
    if memory is None:
        return Failure(code="OUT_OF_MEMORY", message=message, remedy="Lower maxSequenceLength.")
    return Failure(
        code="OUT_OF_MEMORY",
        message=f"{message} {_estimated(memory)}",
        remedy=memory.remedy(),
    )


def _estimated(memory: MemoryEstimate) -> str:
    return f"Of its memory {memory.described()}."


def _last_words(tail: str) -> str:
    return f" Its last words: {tail[-500:]}" if tail else ""


def _how(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
