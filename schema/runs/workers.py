"""The workers that are there."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import strawberry

from jobs.fleet import workers
from jobs.models import Worker as WorkerRow
from jobs.pages import Page
from schema.context import Info
from schema.enums import Role
from schema.export_enums import ExportFormat
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires
from schema.scalars import BigInt
from training.devices import machine

__all__ = ["WorkerQueries"]


@strawberry.type(description="One device of a worker, as a run finds it.")
class Machine:
    device: str = strawberry.field(description="`cpu` or `cuda`.")
    bfloat16: bool = strawberry.field(
        description="Whether it computes in bf16; else runs compute in fp32."
    )
    threads: int = strawberry.field(description="Threads of one job, on a CPU.")
    available_bytes: BigInt = strawberry.field(
        description="What a run could hold: of the card's memory, or of the machine's."
    )
    operations_per_second: float | None = strawberry.field(
        description="At which a job multiplies large matrices on a CPU; null until that was measured."
    )

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "Machine":
        found = machine.Machine.model_validate(stored)
        return cls(
            device=found.device,
            bfloat16=found.bfloat16,
            threads=found.threads,
            available_bytes=BigInt(found.available_bytes),
            operations_per_second=found.operations_per_second,
        )


@strawberry.type(description="A process that trains, exports and checks models.")
class Worker:
    name: str = strawberry.field(description="Its machine, its process, and a random part.")
    devices: int = strawberry.field(
        description="How many devices a job of it can have; on a CPU, processes stand for them."
    )
    devices_in_use: int = strawberry.field(description="How many of them train at present.")
    slots: int = strawberry.field(description="How many training jobs it runs at a time.")
    machine: Machine | None = strawberry.field(
        description="What each of its devices is; null where that is not known."
    )
    export_formats: list[ExportFormat] | None = strawberry.field(
        description="What it has the libraries to export; null where it does not say."
    )
    started_at: datetime = strawberry.field(description="Since when it is there.")
    seen_at: datetime = strawberry.field(description="When it last said so.")

    @classmethod
    def of(cls, row: WorkerRow) -> "Worker":
        return cls(
            name=row.name,
            devices=row.devices,
            devices_in_use=row.devices_in_use,
            slots=row.slots,
            machine=None if row.machine is None else Machine.of(row.machine),
            export_formats=_formats(row.export_formats),
            started_at=row.created_at,
            seen_at=row.seen_at,
        )


def _formats(names: Sequence[str] | None) -> list[ExportFormat] | None:
    return None if names is None else [ExportFormat(name) for name in names]


@strawberry.type
class WorkerQueries:
    @strawberry.field(
        description="The workers that are there, the newest first.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def list_workers(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Worker]:
        lease_seconds = info.context.service.settings.lease_seconds
        rows = await workers.listing(Page.of(first, after), lease_seconds)
        return connection(rows, Worker.of, after=after)
