"""What an attempt is told to need before its first step, and found to have used at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from training.devices import process
from training.devices.memory import peak_bytes
from training.estimates import MemoryEstimate
from training.events import Event, MemoryEstimated, ResourcesUsed, TimeEstimated, WarningRaised
from training.memory.forecast import memory_estimate
from training.memory.post_mortem import memory_failures_explained
from training.memory.workload import remaining, workload
from training.preparation import Prepared
from training.progress.pace import Stopwatch


@dataclass(frozen=True)
class Account:
    """An attempt's estimates, and what is needed to settle them."""

    prepared: Prepared
    memory: MemoryEstimate | None
    """None where nothing tells it: for a model that is split among processes and cannot run dry."""
    stopwatch: Stopwatch
    emit: Callable[[Event], None]

    @contextmanager
    def settled(self) -> Iterator[Stopwatch]:
        """Watch the time of this block; say what was used, and of memory that ran out why."""
        hardware = self.prepared.hardware
        explained = (
            nullcontext()
            if self.memory is None
            else memory_failures_explained(self.memory, hardware)
        )
        with explained:
            yield self.stopwatch
        self.emit(
            ResourcesUsed(peak_memory_bytes=peak_bytes(hardware), seconds=process.seconds_alive())
        )


def opened(
    prepared: Prepared, *, answering_seconds: float, emit: Callable[[Event], None]
) -> Account:
    """Estimate and tell what the attempt will need. Of several processes each speaks for itself."""
    memory = memory_estimate(workload(prepared), prepared.hardware)
    if memory is not None:
        emit(MemoryEstimated(memory=memory))
        if not memory.fits:
            emit(_may_not_suffice(memory))
    stopwatch = Stopwatch(
        remaining(prepared, answering_seconds),
        first_step=prepared.run.stepper.state.step,
        age=process.seconds_alive,
        tell=lambda seconds: emit(TimeEstimated(seconds=seconds)),
    )
    return Account(prepared, memory, stopwatch, emit)


def _may_not_suffice(memory: MemoryEstimate) -> WarningRaised:
    return WarningRaised(
        code="MEMORY_MAY_NOT_SUFFICE",
        message=f"The run may end for lack of memory: {memory.described()}.",
        remedy=memory.remedy(),
    )
