"""What the demo shows of its steps."""

import asyncio
import io

import pytest
from rich.console import Console

from api.demo import steps as module
from api.demo.steps import Steps


async def test_a_long_step_shows_signs_of_life_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 0.02)
    sink = io.StringIO()
    async with Steps(Console(file=sink, width=200)).step("Counting") as step:
        await asyncio.sleep(0.1)
        step.outcome = "to ten"
    *signs, last = sink.getvalue().splitlines()
    assert len(signs) >= 2
    assert set(signs) == {"  … Counting: 0:00"}
    assert last == "✓ Counting (0.1 s) to ten"


async def test_a_step_that_fails_is_marked_and_its_error_goes_on() -> None:
    sink = io.StringIO()
    with pytest.raises(ValueError, match="eleven"):
        async with Steps(Console(file=sink)).step("Counting"):
            raise ValueError("eleven")
    assert sink.getvalue() == "✗ Counting (0:00)\n"


async def test_a_terminal_gets_a_spinner_and_the_same_last_line() -> None:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, color_system=None, width=200)
    async with Steps(console).step("Counting") as step:
        step.outcome = "[0, 1]"
    assert sink.getvalue().rstrip("\n").endswith("✓ Counting (0.0 s) [0, 1]")
