"""Which workers there are, and what a job must know of them before it waits for one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from jobs.models import TrainingJob, Worker
from jobs.pages import Page, Slice, newest_first
from jobs.status import JobStatus
from training.config import TrainingConfig
from training.devices.machine import Machine
from training.export.spec import ExportFormat
from training.findings import PATHS, Finding, Severity, patch_for

__all__ = [
    "NO_WORKER_HAS_DEVICES",
    "Hindrance",
    "Place",
    "device_finding",
    "forget",
    "hindrance",
    "host_of",
    "listing",
    "most_devices",
    "none_can_write",
    "roomiest",
    "say_present",
]

NO_WORKER_HAS_DEVICES: Final = "NO_WORKER_HAS_DEVICES"


class Hindrance(NamedTuple):
    """What keeps a job waiting, for as long as it does."""

    code: str
    message: str
    remedy: str


class Place(NamedTuple):
    """A worker that may train a job."""

    worker: str
    machine: Machine


async def say_present(
    name: str,
    *,
    devices: int,
    devices_in_use: int,
    slots: int,
    machine: Machine | None = None,
    export_formats: Sequence[ExportFormat] | None = None,
) -> None:
    """Note that a worker is there, what it has, and what it can write."""
    now = datetime.now(UTC)
    figures = {"devices": devices, "devices_in_use": devices_in_use, "slots": slots}
    known = {
        "machine": machine.model_dump(mode="json") if machine else None,
        "export_formats": None if export_formats is None else list(export_formats),
    }
    await Worker.update_or_create(name=name, defaults=figures | known | {"seen_at": now})


async def forget(name: str, lease_seconds: float) -> None:
    """Strike off a worker that leaves, and with it those that died some time ago."""
    await Worker.filter(name=name).delete()
    await Worker.filter(seen_at__lt=_alive_since(2 * lease_seconds)).delete()


async def listing(page: Page, lease_seconds: float) -> Slice[Worker]:
    """The workers that are there, the newest first."""
    return await newest_first(Worker.filter(seen_at__gte=_alive_since(lease_seconds)), page)


async def device_finding(config: TrainingConfig, lease_seconds: float) -> Finding | None:
    """A warning where a job for several devices would wait for a worker that is not there."""
    if config.devices <= 1:
        return None
    most = await most_devices(lease_seconds)
    if most >= config.devices:
        return None
    return Finding(
        severity=Severity.WARNING,
        code=NO_WORKER_HAS_DEVICES,
        path=PATHS["devices"],
        message=_lack(config.devices, most),
        remedy="Start a worker with so many devices, or ask for fewer.",
        suggested_patch=patch_for({"devices": most}) if most else None,
    )


async def roomiest(devices: int, lease_seconds: float) -> Place | None:
    """The worker with most memory, of those with so many devices, or else of all.

    None where no worker is there, or none that knows what it has.
    """
    alive = await Worker.filter(seen_at__gte=_alive_since(lease_seconds))
    enough = [row for row in alive if row.devices >= devices] or alive
    places = [Place(row.name, Machine.model_validate(row.machine)) for row in enough if row.machine]
    return max(places, key=lambda each: each.machine.available_bytes, default=None)


async def none_can_write(wanted: ExportFormat, lease_seconds: float) -> bool:
    """Whether workers are there, and each says that it lacks what the format needs."""
    alive = await Worker.filter(seen_at__gte=_alive_since(lease_seconds))
    return bool(alive) and all(
        row.export_formats is not None and wanted not in row.export_formats for row in alive
    )


def host_of(worker: str) -> str:
    """The machine of a worker by its name, which also has its process and a random part."""
    return worker.rsplit("-", 2)[0]


async def most_devices(lease_seconds: float) -> int:
    """How many devices the largest worker has that is there; 0 where none is."""
    alive = Worker.filter(seen_at__gte=_alive_since(lease_seconds))
    largest = await alive.order_by("-devices").first()
    return largest.devices if largest else 0


def hindrance(job: TrainingJob, most: int) -> Hindrance | None:
    """Why a QUEUED job would wait though none were before it: the largest worker that is there has
    `most` devices, which are too few."""
    if job.status is not JobStatus.QUEUED or most >= job.devices:
        return None
    if job.devices == 1:
        remedy = "Start a worker."
    else:
        remedy = "Start a worker with so many devices, or cancel the job and ask for fewer."
    return Hindrance(NO_WORKER_HAS_DEVICES, _lack(job.devices, most), remedy)


def _lack(wanted: int, most: int) -> str:
    devices = "a device" if wanted == 1 else f"{wanted} devices"
    present = f"the largest has {most}" if most else "there is none at all"
    return f"No worker has {devices}, {present}; the job waits for one."


def _alive_since(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)
