"""The API's operations as typed calls."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

from api.client import documents, events, version_documents
from api.client.answers import accepted, optional, page
from api.client.checkpoints import Checkpoint, CleanedCheckpoints
from api.client.connection import Connection
from api.client.dataset_calls import DatasetCalls
from api.client.errors import NotLoggedIn, Unreachable
from api.client.events import Event, JobFinished
from api.client.exports import Export, ExportOptions
from api.client.generations import Conversation, GenerationUpdate
from api.client.resources import Worker
from api.client.results import (
    Job,
    Model,
    Page,
    Session,
    User,
    Validation,
    Version,
)
from api.client.runs import RunOptions
from api.client.version_calls import VersionCalls
from jobs.status import JobStatus, VersionStatus

__all__ = ["Client"]

SILENCE_SECONDS: Final = 120.0
"""So long `events` tries to reach a server that has gone."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0


class Client(DatasetCalls, VersionCalls):
    """Speaks to one server for one account; used as `async with Client(url, session) as client`.

    Every call raises Refused, with the API's code, where the server would not, NotLoggedIn where
    the session does not hold and cannot be renewed, and Unreachable where nobody answers.
    `on_refresh` gets each renewed session, to be kept.
    """

    def __init__(
        self,
        url: str,
        session: Session | None = None,
        *,
        on_refresh: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        self._connection = Connection(url, session, on_refresh=on_refresh)

    async def __aenter__(self) -> Self:
        await self._connection.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._connection.close()

    async def login(self, email: str, password: str) -> Session:
        """Start a session, which this client uses from now on."""
        self._connection.session = None
        answer = await self._ask(documents.LOGIN, email=email, password=password)
        self._connection.session = Session.model_validate(answer)
        return self._connection.session

    async def me(self) -> User:
        """The account of the session."""
        return User.model_validate(await self._ask(documents.ME))

    async def models(self, first: int = 20, after: str | None = None) -> Page[Model]:
        """The registered models, newest first."""
        answer = await self._ask(documents.LIST_MODELS, first=first, after=after)
        return page(Model, answer)

    async def model(self, name: str) -> Model | None:
        """A model by its name."""
        return optional(Model, await self._ask(documents.GET_MODEL, name=name))

    async def register_model(self, name: str, source: str) -> Model:
        """Make a model known; its `status` then tells whether it loads."""
        answer = await self._ask(documents.REGISTER_MODEL, name=name, source=source)
        return Model.model_validate(accepted(answer))

    async def validate(self, model_id: str, dataset_id: str, options: RunOptions) -> Validation:
        """What `run` would be told, without starting anything."""
        answer = await self._ask(
            documents.VALIDATE_CONFIG, input=_run_input(model_id, dataset_id, options)
        )
        return Validation.model_validate(answer)

    async def run(self, model_id: str, dataset_id: str, options: RunOptions) -> Job:
        """Queue a training job."""
        answer = await self._ask(
            documents.RUN_PIPELINE, input=_run_input(model_id, dataset_id, options)
        )
        return Job.model_validate(accepted(answer))

    async def jobs(
        self, status: JobStatus | None = None, *, first: int = 20, after: str | None = None
    ) -> Page[Job]:
        """The jobs that the account can see, newest first."""
        wanted = None if status is None else status.value
        answer = await self._ask(
            documents.LIST_TRAINING_JOBS, status=wanted, first=first, after=after
        )
        return page(Job, answer)

    async def job(self, job_id: str) -> Job | None:
        """A job as it stands."""
        return optional(Job, await self._ask(documents.GET_TRAINING_STATUS, jobId=job_id))

    async def cancel(self, job_id: str) -> Job:
        """Ask a job to stop."""
        answer = await self._ask(documents.CANCEL_TRAINING, jobId=job_id)
        return Job.model_validate(accepted(answer))

    async def workers(self, first: int = 20, after: str | None = None) -> Page[Worker]:
        """The workers that are there, newest first."""
        answer = await self._ask(documents.LIST_WORKERS, first=first, after=after)
        return page(Worker, answer)

    async def pause(self, job_id: str) -> Job:
        """Let a job rest; one that runs saves a checkpoint first."""
        answer = await self._ask(documents.PAUSE_TRAINING, jobId=job_id)
        return Job.model_validate(accepted(answer))

    async def resume(self, job_id: str) -> Job:
        """Let a paused job go on."""
        answer = await self._ask(documents.RESUME_TRAINING, jobId=job_id)
        return Job.model_validate(accepted(answer))

    async def save_checkpoint(self, job_id: str) -> Job:
        """Ask a running job for a checkpoint; the event CheckpointSaved tells when it is there."""
        answer = await self._ask(documents.SAVE_CHECKPOINT, jobId=job_id)
        return Job.model_validate(accepted(answer))

    async def checkpoints(self, job_id: str) -> tuple[Checkpoint, ...] | None:
        """The stored checkpoints of a job, in order; null where there is no such job."""
        job = await self._ask(documents.LIST_CHECKPOINTS, jobId=job_id)
        return job and tuple(Checkpoint.model_validate(each) for each in job["checkpoints"])

    async def clean_up(self, job_id: str, keep_best: int) -> CleanedCheckpoints:
        """Delete a job's checkpoints but the best so many."""
        answer = await self._ask(documents.CLEANUP_CHECKPOINTS, jobId=job_id, keepBest=keep_best)
        return CleanedCheckpoints.model_validate(accepted(answer))

    async def versions(
        self,
        model_name: str,
        *,
        status: VersionStatus | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> Page[Version]:
        """A model's versions, or those of one status, newest first."""
        wanted = {"modelName": model_name, "status": status, "first": first, "after": after}
        return page(Version, await self._ask(documents.LIST_MODEL_VERSIONS, **wanted))

    async def export_version(self, version_id: str, options: ExportOptions) -> Export:
        """Ask for a version in a file format; its `status` then tells how that went."""
        given = options.model_dump(mode="json", by_alias=True, exclude_none=True)
        answer = await self._ask(
            documents.EXPORT_MODEL, input={"modelVersionId": version_id, **given}
        )
        return Export.model_validate(accepted(answer))

    async def export(self, export_id: str) -> Export | None:
        """An export as it stands."""
        return optional(Export, await self._ask(documents.GET_EXPORT, id=export_id))

    async def events(self, job_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event of a job above `after`, once and in order, until the job has ended.

        A connection that breaks is made again, and goes on behind the last event; Unreachable
        once that has failed for two minutes.
        """
        clock = asyncio.get_running_loop().time
        seq, heard, pause = after, clock(), FIRST_PAUSE_SECONDS
        while True:
            try:
                async with aclosing(self._events_once(job_id, seq)) as stream:
                    async for event in stream:
                        seq, heard, pause = event.seq, clock(), FIRST_PAUSE_SECONDS
                        yield event
                        if isinstance(event, JobFinished):
                            return
                job = await self.job(job_id)
                if job is None or (job.ended and job.last_seq <= seq):
                    return
            except NotLoggedIn:
                if not await self._connection.renew():
                    raise
            except Unreachable:
                if clock() - heard > SILENCE_SECONDS:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _events_once(self, job_id: str, after: int) -> AsyncGenerator[Event, None]:
        """The events that come over one connection."""
        answers = self._connection.follow(documents.TRAINING_EVENTS, jobId=job_id, afterSeq=after)
        async with aclosing(answers):
            async for answer in answers:
                event = events.parse(answer["trainingEvents"])
                if event.seq > after:
                    after = event.seq
                    yield event

    async def generate(self, conversation: Conversation) -> AsyncGenerator[GenerationUpdate, None]:
        """Have a version answer; each update has what is new of the answer."""
        given = conversation.as_input()
        answers = self._connection.follow(version_documents.GENERATE, input=given)
        async with aclosing(answers):
            async for answer in answers:
                yield GenerationUpdate.model_validate(answer["generate"])

    async def _ask(self, document: str, **variables: object) -> Any:
        """The answer's one root field."""
        (answer,) = (await self._connection.ask(document, **variables)).values()
        return answer


def _run_input(model_id: str, dataset_id: str, options: RunOptions) -> dict[str, object]:
    return {"modelId": model_id, "datasetId": dataset_id, **options.as_input()}
