"""Everything the floors above need of this one, opened together and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobs.artifacts import Artifacts
from jobs.data.inspections import Inspector
from jobs.database import connect
from jobs.preview.dry_runs import DryRuns
from jobs.preview.previews import MODULE
from jobs.processes.companion import Companion
from jobs.queue import Queue, open_queue
from jobs.runs.events import EventHub, open_hub
from jobs.settings import Settings
from jobs.tokens import Tokens

__all__ = ["Service", "open_service"]


@dataclass(frozen=True)
class Service:
    """What one API process holds open."""

    settings: Settings
    artifacts: Artifacts
    queue: Queue
    hub: EventHub
    tokens: Tokens
    inspector: Inspector
    previews: Companion
    """Started when a preview, or a run's records, are first asked for."""

    @property
    def dry_runs(self) -> DryRuns:
        """What tells how a run's records would be."""
        return DryRuns(self.artifacts, self.previews)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Database, queue and event listener for this process. Redis may be away."""
    async with (
        connect(settings),
        open_queue(settings.redis_url) as queue,
        open_hub(settings.redis_url) as hub,
    ):
        tokens = Tokens(
            secret=settings.secret.get_secret_value(),
            access_seconds=settings.access_token_seconds,
            refresh_seconds=settings.refresh_token_seconds,
            download_seconds=settings.download_seconds,
        )
        artifacts = Artifacts(settings.artifacts)
        inspector, previews = Inspector(artifacts), Companion(MODULE)
        try:
            yield Service(settings, artifacts, queue, hub, tokens, inspector, previews)
        finally:
            await inspector.close()
            await previews.close()
