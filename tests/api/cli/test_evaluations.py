"""Measuring a version from the shell, while a worker of its own answers."""

import asyncio
import json

import pytest

from jobs.access import Role, Viewer
from jobs.models import Evaluation
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import make_dataset, make_model, make_viewer
from tests.jobs.registry.test_activation import made
from tests.jobs.registry.test_evaluations import MEASURED, SAID
from tests.jobs.stage import eventually
from training.evaluation.classes import Choice, judged
from training.evaluation.spec import PREDICTIONS, AnswerFigures, Seen


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


async def test_figures_and_predictions_are_shown(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    (version,) = await made(ada, service, await make_model(ada), 0.6)
    await make_dataset(ada, service, name="tests")
    key = str(ids.encode(ids.Kind.VERSION, version.id))
    running = asyncio.create_task(shell.run("evaluate", key, "tests", "--max-records", "3"))

    async def is_queued() -> bool:
        return await Evaluation.all().count() == 1

    await eventually(is_queued)
    row = await Evaluation.get()
    assert (row.options["max_records"], row.options["base"]) == (3, True)
    folder = service.artifacts.evaluation(row.id)
    folder.mkdir(parents=True)
    (folder / PREDICTIONS).write_text("".join(each.model_dump_json() + "\n" for each in SAID))
    figures = MEASURED.tuned.model_copy(
        update={
            "answers": AnswerFigures(
                records=3, exact_match=0.25, precision=0.5, recall=0.5, f1=0.5, cut=0
            ),
            "labels": judged([Choice("yes", "yes", 0.75), Choice("no", "yes", 0.75)]),
        }
    )
    result = MEASURED.model_copy(
        update={"tuned": figures, "base": figures, "seen": Seen(count=1, lines=(3,))}
    )
    columns = {"status": TaskStatus.READY, "result": result.model_dump(mode="json")}
    await Evaluation.filter(id=row.id).update(**columns)
    ran = await running
    assert ran.code == 0, ran.err
    assert ran.err == "1 record is in what it was trained on: line 3\n"
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert ["exact match", "25.0%", "25.0%"] in lines
    assert ["macro F1", "33.3%", "33.3%"] in lines
    assert ["yes", "50.0%", "100.0%", "66.7%"] in lines
    assert ran.out.count("\n  tuned: no\n") == 3
    again = asyncio.create_task(shell.run("evaluate", key, "tests", "--no-base", "--json"))

    async def is_second() -> bool:
        return await Evaluation.all().count() == 2

    await eventually(is_second)
    error = {"code": "NOTHING_TO_TRAIN", "message": "no token is left", "remedy": None}
    await Evaluation.exclude(id=row.id).update(status=TaskStatus.FAILED, error=error)
    failed = await again
    assert (failed.code, failed.err) == (1, "Error: The evaluation failed: no token is left\n")
    shown = await shell.run("versions", (await version.model).name, "--json")
    assert json.loads(shown.out)[0]["id"] == key
