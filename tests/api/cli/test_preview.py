"""`tunery preview`: what would be trained, in colours or between brackets."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from api.cli.previews import is_coloured, parts
from api.client.previews import PreviewedRecord, PreviewedToken
from jobs.access import Role, Viewer
from jobs.service import Service
from tests.api.cli.shell import Shell
from tests.api.client.sessions import session_of
from tests.factories import make_dataset, make_model, make_viewer
from tests.tiny_model import make_tiny_model


@pytest.fixture
async def ada(shell: Shell, server: str, service: Service) -> Viewer:
    viewer = await make_viewer(Role.TRAINER)
    shell.setenv("TUNERY_URL", f"http://{server}")
    shell.setenv("TUNERY_TOKEN", (await session_of(viewer, service)).access_token)
    return viewer


async def test_what_is_trained_stands_between_brackets_in_a_pipe(
    shell: Shell, ada: Viewer, service: Service, tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    await make_model(ada, source=str(folder), name="tiny")
    await make_dataset(ada, service)
    ran = await shell.run("preview", "sums", "tiny", "--first", "1")
    assert (ran.code, ran.err) == (0, "1 of 20; more with --after MQ==\n")
    heading, *text = ran.out.splitlines()
    assert heading.startswith("Record 1: 28 tokens, 7 of them trained")
    assert text == [
        "<|im_start|>user",
        "What is 0 and 0?<|im_end|>",
        "<|im_start|>assistant",
        "⟦It is 0.<|im_end|>⟧",
        "",
    ]
    mine = tmp_path / "mine.jinja"
    mine.write_text("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}")
    options = ("--chat-template", f"@{mine}", "--train-on", "all", "--max-sequence-length", "8")
    ran = await shell.run("preview", "sums", "tiny", "--after", "MTk=", "--ids", *options)
    heading, text_line, numbers = ran.out.splitlines()
    assert heading.endswith("of them trained, cut to the longest length")
    assert text_line.startswith("Wh⟦at is ")
    assert len(numbers.split()) == 8
    ran = await shell.run("preview", "sums", "tiny", "--first", "2", "--json")
    assert [each["line"] for each in json.loads(ran.out)["records"]] == [1, 2]


async def test_a_template_that_cannot_be_used_is_told(
    shell: Shell, ada: Viewer, service: Service
) -> None:
    await make_model(ada, name="tiny")
    await make_dataset(ada, service)
    ran = await shell.run("preview", "sums", "tiny", "--chat-template", "chat")
    assert (ran.code, ran.out) == (1, "")
    assert "There is no chat template 'chat'" in ran.err
    assert "Use one of CHATML, LLAMA_3" in ran.err
    ran = await shell.run("preview", "sums", "tiny", "--chat-template", "@/nowhere.jinja")
    assert (ran.code, "No such file" in ran.err) == (1, True)


@pytest.mark.parametrize(("no_color", "expected"), [(None, True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, expected: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert is_coloured(Console(force_terminal=True)) is expected
    assert not is_coloured(Console(file=io.StringIO()))


def test_a_stretch_is_coloured_as_a_whole() -> None:
    tokens = [("a", False), ("b", True), ("c", True), ("d", False)]
    record = PreviewedRecord(
        line=1,
        tokens=tuple(PreviewedToken(id=0, text=t, trained=trained) for t, trained in tokens),
        tokens_cut=True,
        token_count=9,
        trained_token_count=2,
        truncated=False,
    )
    assert list(parts(record, coloured=True)) == [
        ("a", "dim"),
        ("bc", "bold green"),
        ("d", "dim"),
        " …",
    ]
    assert list(parts(record, coloured=False)) == ["a", "⟦bc⟧", "d", " …"]
