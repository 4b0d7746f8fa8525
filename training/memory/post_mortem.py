"""What is said of a run that ended for lack of memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from training.devices.hardware import Hardware
from training.devices.memory import available_bytes, peak_bytes
from training.errors import OutOfMemory
from training.estimates import MemoryEstimate
from training.libraries import memory_failures_named


@contextmanager
def memory_failures_explained(estimate: MemoryEstimate, hardware: Hardware) -> Iterator[None]:
    """Say of any `OutOfMemory` in this block what was held, what was estimated, and what takes most."""
    try:
        with memory_failures_named():
            yield
    except OutOfMemory as error:
        raise OutOfMemory.beside(
            error,
            estimate,
            used_bytes=peak_bytes(hardware),
            available_bytes=available_bytes(hardware),
        ) from error
