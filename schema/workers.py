"""The workers that are there."""

from datetime import datetime

import strawberry

from jobs import workers
from jobs.models import Worker as WorkerRow
from jobs.pages import Page
from schema.context import Info
from schema.enums import Role
from schema.pagination import After, Connection, First, connection
from schema.permissions import Requires

__all__ = ["WorkerQueries"]


@strawberry.type(description="A process that trains, exports and checks models.")
class Worker:
    name: str = strawberry.field(description="Its machine, its process, and a random part.")
    devices: int = strawberry.field(
        description="How many devices a job of it can have; on a CPU, processes stand for them."
    )
    devices_in_use: int = strawberry.field(description="How many of them train at present.")
    slots: int = strawberry.field(description="How many training jobs it runs at a time.")
    started_at: datetime = strawberry.field(description="Since when it is there.")
    seen_at: datetime = strawberry.field(description="When it last said so.")

    @classmethod
    def of(cls, row: WorkerRow) -> "Worker":
        return cls(
            name=row.name,
            devices=row.devices,
            devices_in_use=row.devices_in_use,
            slots=row.slots,
            started_at=row.created_at,
            seen_at=row.seen_at,
        )


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
