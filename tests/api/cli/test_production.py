"""Versions in production from the shell, and over the API that it speaks to."""

import json

import pytest

from jobs.access import Role, Viewer
from jobs.execution.claims import claim, end
from jobs.models import BaseModel, ModelVersion
from jobs.registry.gates import Gate
from jobs.runs import lifecycle
from jobs.runs.history import Lease
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import JobStatus
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import make_dataset, make_model, make_viewer
from tests.jobs.registry.test_activation import LOSSES, made
from training.config import TrainingType
from training.events import Failure


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    """A TRAINER whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER, "ada@example.org")
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


def public(version: ModelVersion) -> str:
    return str(ids.encode(ids.Kind.VERSION, version.id))


async def test_versions_go_into_production_and_back(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    model = await make_model(ada, name="tiny")
    first, second, third = await made(ada, service, model, *LOSSES, validation_split=0.2)
    assert (await shell.run("activate", public(first))).out == "v1.0.0 is ACTIVE.\n"
    assert (await shell.run("gate", "tiny", "--not-worse")).out == "the gate is set\n"
    assert Gate.model_validate((await BaseModel.get(id=model.id)).gate) == Gate(not_worse=True)
    refused = await shell.run("activate", public(third))
    assert refused.code == 1
    assert "validation loss of 0.7; that of v1.0.0, which is ACTIVE, is 0.6" in refused.err
    assert (await shell.run("activate", public(second), "--reason", "better")).code == 0
    forced = ("activate", public(third), "--force", "--reason", "a hotfix", "--json")
    assert json.loads((await shell.run(*forced)).out)["forced"] is True
    assert (await shell.run("rollback", "tiny")).out == "v1.1.0 is ACTIVE.\n"
    shown = await shell.run("activations", "tiny", "--json")
    told = [(each["versionName"], each["reason"]) for each in json.loads(shown.out)]
    assert told == [
        ("v1.1.0", None),
        ("v1.2.0", "a hotfix"),
        ("v1.1.0", "better"),
        ("v1.0.0", None),
    ]
    table = (await shell.run("activations", "tiny")).out
    assert "ACTIVATION, forced" in table
    assert "ada@example.org" in table
    assert (await shell.run("gate", "tiny")).out == "any version may go into production\n"
    refused = await shell.run("delete-version", public(second))
    assert refused.code == 1
    assert "v1.1.0 is ACTIVE" in refused.err
    assert (await shell.run("delete-version", public(first))).out.startswith("deleted, with 0 exp")


async def test_a_gate_asks_for_figures_on_a_dataset_by_its_name(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    model = await make_model(ada, name="tiny")
    (version,) = await made(ada, service, model, 0.6)
    tests = await make_dataset(ada, service, name="tests")
    asked = ("--figure", "exact-match=0.8", "--figure-not-worse", "macro-f1", "--on", "tests")
    ran = await shell.run("gate", "tiny", *asked, "--json")
    told = json.loads(ran.out)
    assert (told["testDatasetSha256"], told["figures"]) == (
        tests.sha256,
        [
            {"figure": "EXACT_MATCH", "bound": 0.8, "notWorse": False},
            {"figure": "MACRO_F1", "bound": None, "notWorse": True},
        ],
    )
    refused = await shell.run("activate", public(version))
    assert refused.code == 1
    assert "v1.0.0 has no READY evaluation on the gate's test dataset" in refused.err
    for wrong, why in (("beauty=1", "no figure 'beauty'"), ("f1=high", "'high' is no bound of f1")):
        ran = await shell.run("gate", "tiny", "--figure", wrong)
        assert (ran.code, why in ran.err) == (1, True)


async def test_versions_are_listed_with_what_they_were_made_by_or_why_not(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    model = await make_model(ada, name="tiny")
    (ready,) = await made(ada, service, model, 0.6)
    dataset = await make_dataset(ada, service)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, {})
    job = await lifecycle.submit(ada, request, settings=service.settings, queue=service.queue)
    await BaseModel.filter(id=model.id).update(version_counter=1)
    await claim(job.id, "worker", 30)
    shown = [line.split("\t") for line in (await shell.run("versions", "tiny")).out.splitlines()]
    (_, *heads), (_, *going), (key, *trained) = shown
    assert (heads[0], heads[-1]) == ("VERSION", "NOTE")
    assert going[:3] == ["v1.1.0", "TRAINING", "-"]
    assert going[-1] == f"by {ids.encode(ids.Kind.JOB, job.id)}"
    assert (key, *trained[:3], trained[-1]) == (public(ready), "v1.0.0", "READY", "0.6000", "")
    lacking = Failure(code="OUT_OF_MEMORY", message="It lacks 9 GiB.", remedy="less")
    await end(job.id, Lease("worker", 1), JobStatus.FAILED, reason="failed", error=lacking)
    failed = (await shell.run("versions", "tiny", "--status", "failed")).out.splitlines()
    assert [line.split("\t")[-1] for line in failed] == ["NOTE", "It lacks 9 GiB."]


async def test_two_versions_are_shown_side_by_side(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    model = await make_model(ada, name="tiny")
    first, second = await made(ada, service, model, 0.6, 0.5)
    samples = [{"prompt": "1+1?", "before": "no", "after": "2"}]
    await ModelVersion.all().update(samples=samples)
    ran = await shell.run("compare-versions", public(first), public(second))
    assert ran.code == 0, ran.err
    for told in ("on the same data: yes", "held-out rows: yes", "validationLoss", "0.6", "1+1?"):
        assert told in ran.out
    refused = await shell.run("compare-versions", public(first), "version_nothing")
    assert (refused.code, "is no version" in refused.err) == (1, True)
