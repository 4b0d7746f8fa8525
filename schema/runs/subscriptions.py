"""Following a job, or the making of a dataset, live, for as long as the viewer's token holds."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from jobs.data import datasets
from jobs.errors import InvalidInput
from jobs.runs import lifecycle
from schema import ids
from schema.context import Info
from schema.data.datasets import Dataset
from schema.enums import Role
from schema.permissions import Requires
from schema.runs.following import while_authenticated
from schema.runs.training_control import JobId
from schema.runs.training_events import TrainingEvent, from_row
from schema.runs.training_jobs import TrainingJob

__all__ = ["DatasetSubscriptions", "TrainingSubscriptions"]


@strawberry.type
class TrainingSubscriptions:
    @strawberry.subscription(
        description="A job as it stands now, and anew whenever it changes, until it has ended.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def training_status(self, info: Info, job_id: JobId) -> AsyncGenerator[TrainingJob, None]:
        viewer = info.context.viewer
        job = await lifecycle.get(viewer, ids.decode(ids.Kind.JOB, job_id))
        snapshots = info.context.service.hub.snapshots(job.id)
        async with aclosing(while_authenticated(viewer, snapshots)) as rows:
            async for row in rows:
                info.context.forget_rows()
                yield TrainingJob.of(row)

    @strawberry.subscription(
        description="Every event of a job once and in order: what was missed first, then live.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def training_events(
        self,
        info: Info,
        job_id: JobId,
        after_seq: Annotated[
            int, strawberry.argument(description="Only events numbered above this; 0 for all.")
        ] = 0,
    ) -> AsyncGenerator[TrainingEvent, None]:
        if after_seq < 0:
            raise InvalidInput.at(
                ["afterSeq"],
                f"afterSeq is {after_seq}, but must be at least 0.",
                code="OUT_OF_RANGE",
                remedy="Pass the `seq` of the last event you have, or 0 for all.",
            )
        viewer = info.context.viewer
        job = await lifecycle.get(viewer, ids.decode(ids.Kind.JOB, job_id))
        events = info.context.service.hub.follow(job.id, after_seq)
        async with aclosing(while_authenticated(viewer, events)) as rows:
            async for row in rows:
                info.context.forget_rows()
                yield from_row(row)


@strawberry.type
class DatasetSubscriptions:
    @strawberry.subscription(
        description="A dataset as it stands now, and anew whenever it changes, until it is READY or "
        "FAILED, or deleted.",
        extensions=[Requires(Role.VIEWER)],
    )
    async def dataset_status(
        self,
        info: Info,
        dataset_id: Annotated[strawberry.ID, strawberry.argument(description="A dataset's id.")],
    ) -> AsyncGenerator[Dataset, None]:
        viewer = info.context.viewer
        snapshots = datasets.follow(viewer, ids.decode(ids.Kind.DATASET, dataset_id))
        async with aclosing(while_authenticated(viewer, snapshots)) as rows:
            async for row in rows:
                info.context.forget_rows()
                yield Dataset.of(row)
