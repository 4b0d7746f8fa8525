"""How a child process came to its end, in words."""

from training.estimates import MemoryEstimate
from training.events import Failure

__all__ = ["crash", "unsaved", "with_estimate"]


def crash(exit_code: int, tail: str, *, silent: bool) -> Failure:
    """Why a child without a last word is gone; `silent` where it was ended for saying nothing."""
    if silent:
        return Failure(
            code="CHILD_SILENT",
            message="The training process did not advance for too long and was ended.",
            remedy="It is tried again from its newest checkpoint.",
        )
    return Failure(
        code="CHILD_CRASHED",
        message=f"The training process died with {_death(exit_code, tail)}",
        remedy="It is tried again from its newest checkpoint; signal 9 often means too little memory.",
    )


def unsaved(exit_code: int, tail: str) -> Failure:
    """Why a job is paused at an older step than it had reached."""
    return Failure(
        code="PAUSED_UNSAVED",
        message="The training process ended before it had saved its newest step, with "
        f"{_death(exit_code, tail)}",
        remedy="Resume the job; it goes on from its newest checkpoint.",
    )


def _death(exit_code: int, tail: str) -> str:
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return f"{how}." + (f" Its last words: {tail[-500:]}" if tail else "")


def with_estimate(failure: Failure, memory: MemoryEstimate) -> Failure:
    """A crash by the signal with which the kernel ends who takes too much memory."""
    advice = "" if memory.fits else f" {memory.remedy()}"
    return Failure(
        code=failure.code,
        message=f"{failure.message} Of its memory {memory.described()}.",
        remedy=f"{failure.remedy}{advice}",
    )
