"""What a failing run leaves: a checkpoint of the last step that was good."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from safetensors import SafetensorError

from training.errors import NonFiniteGradient, NonFiniteLoss, OutOfMemory, TrainingError
from training.libraries import memory_failures_named
from training.stepper import Stepper

_FAILURES: Final = (TrainingError, OSError, SafetensorError, MemoryError, RuntimeError)
"""What may come of saving on a machine that is short of memory or disk."""


@contextmanager
def last_good_step_saved(stepper: Stepper, save: Callable[[], None]) -> Iterator[None]:
    """Call `save` where the block fails at a step that was not taken, before its error goes on.

    Weights that are spoilt already are not saved. A failure to save never hides why the run failed.
    """
    try:
        with memory_failures_named():
            yield
    except (NonFiniteLoss, NonFiniteGradient, OutOfMemory) as error:
        try:
            if stepper.is_finite():
                save()
        except _FAILURES as failure:
            error.add_note(f"Nor could the last good step be saved: {failure}")
        raise
