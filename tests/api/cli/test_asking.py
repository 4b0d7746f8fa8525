"""Asking a version from the shell, while a scripted child answers."""

import pytest

from jobs.access import Role, Viewer
from jobs.models import Generation
from jobs.service import Service
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.api.test_generations import _worker  # noqa: F401  # a fixture
from tests.factories import make_viewer
from tests.jobs.execution.test_tasks import version_of


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.mark.usefixtures("_worker")
async def test_an_answer_is_read_as_it_comes(shell: Shell, ada: Viewer, service: Service) -> None:
    version = await version_of(ada, service)
    key = str(ids.encode(ids.Kind.VERSION, version.id))
    ran = await shell.run("ask", key, "3", "--system", "Be brief.", "--base", "--seed", "5")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("0 1 2 by ")
    assert ran.err == "3 tokens in 1.5 s, the first after 0.25 s; STOP\n"
    row = await Generation.get()
    assert [each["role"] for each in row.messages] == ["system", "user"]
    assert (row.of_base, row.parameters["seed"]) == (True, 5)
    refused = await shell.run("ask", key, "refuse")
    assert refused.code == 1
    assert "There is no answer: No." in refused.err
