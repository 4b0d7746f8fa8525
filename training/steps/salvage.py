"""What a failing run leaves: a checkpoint of the last step that was good."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from safetensors import SafetensorError

from training.devices.world import World
from training.errors import DiskFull, OutOfMemory, TrainingError
from training.events import Event, WarningRaised
from training.libraries import memory_failures_named
from training.steps.errors import NonFiniteGradient, NonFiniteLoss
from training.steps.stepper import Stepper

_FAILURES: Final = (TrainingError, OSError, SafetensorError, MemoryError, RuntimeError)
"""What may come of saving on a machine that is short of memory or disk."""


@contextmanager
def last_good_step_saved(
    stepper: Stepper, save: Callable[[], None], *, emit: Callable[[Event], None], world: World
) -> Iterator[None]:
    """Call `save` where the block fails at a step that was not taken, before its error goes on.

    Weights that are spoilt already are not saved, nor those of several processes of which one ran
    out of memory: the others do not know. A failure to save is told, and never hides why the run
    failed.
    """
    try:
        with memory_failures_named():
            yield
    except (NonFiniteLoss, NonFiniteGradient, OutOfMemory) as error:
        if isinstance(error, OutOfMemory) and world.size > 1:
            raise
        try:
            if stepper.is_finite():
                save()
        except _FAILURES as failure:
            with suppress(DiskFull):
                emit(_not_saved(failure))
        raise


def _not_saved(failure: Exception) -> WarningRaised:
    return WarningRaised(
        code="LAST_STEP_NOT_SAVED",
        message=f"The last good step could not be saved: {str(failure).rstrip('.')}.",
        remedy="The run can go on from the checkpoint before it, if there is one.",
    )
