"""The devices of a worker: how many there are, and which of them each of its jobs trains on."""

import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

__all__ = ["DevicePool", "cuda_devices", "open_pool"]

DRIVER = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver lists its cards; absent without one."""


def cuda_devices() -> tuple[str, ...]:
    """The names by which CUDA lets this process use its devices; none without a driver."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name.strip() for name in allowed.split(",") if name.strip())
    return tuple(str(number) for number, _ in enumerate(DRIVER.glob("*")))


def open_pool(asked: int, slots: int, cuda: Sequence[str]) -> "DevicePool":
    """The pool of a worker that shall have `asked` devices, or with 0 all there are.

    On a machine without CUDA processes stand for devices, one unless more are asked for. Raises
    ValueError where there are not so many.
    """
    if cuda and asked > len(cuda):
        raise ValueError(
            f"TUNERY_WORKER_DEVICES is {asked}, but this worker may use {len(cuda)} CUDA devices."
        )
    count = asked or len(cuda) or 1
    return DevicePool(cuda[:count] or ("",) * count, slots)


class DevicePool:
    """Lends devices to jobs. With more slots than devices, several jobs share one."""

    def __init__(self, names: Sequence[str], slots: int) -> None:
        self._names = names
        self._free = [-(-slots // len(names))] * len(names)
        self._lent: dict[UUID, tuple[int, ...]] = {}

    @property
    def size(self) -> int:
        """How many devices a single job can have."""
        return len(self._names)

    @property
    def in_use(self) -> int:
        """How many devices a job trains on at present."""
        return len({device for lent in self._lent.values() for device in lent})

    def lend(self, job_id: UUID, wanted: int) -> bool:
        """Set devices aside for a job, those with the fewest others first; False where too few are
        free. A job that has its devices already keeps them."""
        if job_id in self._lent:
            return True
        freest = sorted(range(self.size), key=lambda device: -self._free[device])[:wanted]
        if len(freest) < wanted or any(self._free[device] == 0 for device in freest):
            return False
        for device in freest:
            self._free[device] -= 1
        self._lent[job_id] = tuple(sorted(freest))
        return True

    def names(self, job_id: UUID) -> tuple[str, ...]:
        """CUDA's names of the devices lent to a job; none on a machine without CUDA."""
        return tuple(filter(None, (self._names[device] for device in self._lent.get(job_id, ()))))

    def take_back(self, job_id: UUID) -> None:
        """The job needs its devices no longer."""
        for device in self._lent.pop(job_id, ()):
            self._free[device] += 1
