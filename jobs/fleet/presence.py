"""A worker says that it is there, and what its machine has."""

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from jobs.database import AWAY
from jobs.fleet.devices import DevicePool, cuda_devices
from jobs.fleet.workers import forget, say_present
from jobs.processes.child import Child
from jobs.settings import Settings
from training.devices.machine import Machine, Rate, look
from training.export.errors import available_formats

__all__ = ["measured_rate", "present_forever"]

logger = logging.getLogger(__name__)

MEASURE_AFTER_SECONDS = 5.0
"""A worker that has work at once does that first."""
MEASURING_SECONDS = 120.0
"""Within which a child has loaded torch and multiplied, or is given up."""
MEASURING_TRIES = 3


async def present_forever(worker_id: str, settings: Settings, pool: DevicePool) -> None:
    """Say what this worker has, three times in a lease. What memory it has for a job is seen while
    it has none, and how fast it computes is measured then, once."""
    machine: Machine | None = None
    measuring = asyncio.create_task(_rate_when_idle(settings, pool))
    try:
        while True:
            if machine is None or not pool.in_use:
                machine = await asyncio.to_thread(look, cuda_devices(), threads=settings.threads)
            if machine is not None and measuring.done():
                machine = machine.model_copy(update={"operations_per_second": measuring.result()})
            try:
                await say_present(
                    worker_id,
                    devices=pool.size,
                    devices_in_use=pool.in_use,
                    slots=settings.worker_slots,
                    machine=machine,
                    export_formats=await asyncio.to_thread(available_formats),
                )
            except AWAY as error:
                logger.warning("cannot say that this worker is there: %s", error)
            await asyncio.sleep(settings.lease_seconds / 3)
    finally:
        measuring.cancel()
        with suppress(*AWAY):
            await forget(worker_id, settings.lease_seconds)


async def _rate_when_idle(settings: Settings, pool: DevicePool) -> float | None:
    """The processor's rate, once it could be measured with no job beside; None on a machine that
    trains on cards, and where it cannot be measured."""
    if cuda_devices():
        return None
    tries = MEASURING_TRIES
    while tries:
        await asyncio.sleep(MEASURE_AFTER_SECONDS)
        if pool.in_use:
            continue
        tries -= 1
        rate = await measured_rate(settings.threads)
        if rate is not None and not pool.in_use:
            return rate
    return None


async def measured_rate(threads: int) -> float | None:
    """How many operations a second so many threads make in matrix products, by a child process that
    loads torch; None, and a line in the log, where it fails."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        child = await Child.start(
            "training.devices.rate",
            str(folder / "rate.json"),
            log=folder / "log",
            threads=threads,
        )
        try:
            async with asyncio.timeout(MEASURING_SECONDS):
                await child.wait()
            answer = await asyncio.to_thread((folder / "rate.json").read_bytes)
            return Rate.model_validate(json.loads(answer)["result"]).operations_per_second
        except (TimeoutError, OSError, KeyError, ValueError, ValidationError) as error:
            logger.warning("cannot measure how fast this machine computes: %r", error)
            return None
        finally:
            child.kill()
