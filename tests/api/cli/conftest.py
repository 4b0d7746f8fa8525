"""A shell of the tests' own: no session, no settings, and the address of the server under test."""

from pathlib import Path

import pytest

from tests.api.cli.shell import Shell


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name in ("TUNERY_TOKEN", "TUNERY_PASSWORD", "TUNERY_HOME", "TUNERY_SECRET", "TUNERY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(monkeypatch, capsys)
