"""Datasets of the hub, and of text by lines, made from the shell."""

from pathlib import Path

import pytest

from api.cli import making
from jobs.access import Role, Viewer
from jobs.models import Dataset
from jobs.service import Service
from schema import ids
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import make_viewer
from tests.hub import hub_for_children
from tests.training.data.fake_hub import COMMIT


@pytest.fixture
async def trainer(shell: Shell, server: str, service: Service) -> Viewer:
    """Whose token the shell has."""
    viewer = await make_viewer(Role.TRAINER)
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


@pytest.mark.usefixtures("trainer", "ingesting")
async def test_a_split_of_the_hub_is_fetched(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PATIENCE_SECONDS", 0.0)  # nobody examines here
    with hub_for_children(monkeypatch):
        ran = await shell.run("fetch", "ann/sums", "--split", "test")
        assert ran.code == 0, ran.err
        stored = await Dataset.get()
        assert (stored.name, stored.record_count) == ("sums", 1)
        key = ids.encode(ids.Kind.DATASET, stored.id)
        assert ran.out.splitlines() == [
            f"{key}: 1 record, {stored.size_bytes} B",
            f"  of ann/sums, default, test, at commit {COMMIT}",
            "  taken for QUESTION_ANSWER, which makes QA: QUESTION=question, ANSWER=answer",
            f"  what is in its records: tunery examine {key}",
        ]
        refused = await shell.run("fetch", "ann/none")
    assert refused.code == 1
    assert "there is no dataset ann/none" in refused.err
    assert "HF_TOKEN of the workers" in refused.err


@pytest.mark.usefixtures("trainer", "ingesting")
async def test_a_text_is_cut_by_lines(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_text("It rains.\nIt pours.\n")
    looked = await shell.run("inspect", str(file), "--divide", "lines")
    assert "2 rows were looked at" in looked.out
    ran = await shell.run("upload", str(file), "--divide", "lines")
    assert ran.code == 0, ran.err
    stored = await Dataset.get()
    assert (stored.record_count, stored.division) == (2, "LINES")
