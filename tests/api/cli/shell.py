"""Running verbs of the command line inside the test."""

import asyncio
import io
from typing import NamedTuple

import pytest

from api.cli import main


class Ran(NamedTuple):
    """What a verb left behind."""

    code: int
    out: str
    err: str


class Shell:
    """Runs `tunery` verbs; they bring an event loop of their own, so each runs in a thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def setenv(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    async def run(self, *arguments: str, given: str = "") -> Ran:
        """One verb, with that text on its standard input."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(given))
        self._capsys.readouterr()
        code = await asyncio.to_thread(_code, arguments)
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)


def _code(arguments: tuple[str, ...]) -> int:
    try:
        main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0
