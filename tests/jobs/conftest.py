"""Fixtures of the jobs floor's tests."""

from dataclasses import replace

import pytest

from jobs.service import Service
from tests.jobs import stage


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes play their script, and are looked at ten times as often."""
    monkeypatch.setattr("asyncio.create_subprocess_exec", stage.play_scripts_async)
    monkeypatch.setattr("jobs.execution.supervisor.TICK_SECONDS", 0.02)
    monkeypatch.setattr("jobs.execution.supervisor.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("jobs.execution.tasks.BEAT_SECONDS", 0.1)


@pytest.fixture
def quick(service: Service) -> Service:
    """A service with times shorter than its settings allow."""
    hurried = {"stop_grace_seconds": 0.5, "silence_seconds": 1.0, "max_crashes": 3}
    return replace(service, settings=service.settings.model_copy(update=hurried))
