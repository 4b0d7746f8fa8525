"""A warm process: started once, replaced when it fails, and gone when nobody needs it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.errors import Unavailable
from jobs.processes.companion import MOST_WAITING, Companion, Unanswered
from tests.processes import is_alive
from training.config import DataType
from training.preview.questions import Kind, Preview, PreviewQuestion

SCRIPTED = "tests.jobs.scripted_companion"
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def companion(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Companion]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    companion = Companion(SCRIPTED, idle_seconds=60, answer_seconds=20)
    yield companion
    await companion.close()
    assert companion.pid is None


async def ask(companion: Companion, what: str | None = None) -> int:
    """The process that answered."""
    answer = await companion.ask(Kind.PREVIEW, question(what), Preview)
    return int(answer.stop_tokens[0])


def question(what: str | None = None) -> PreviewQuestion:
    return PreviewQuestion(
        model_path="",
        dataset_path="",
        data_type=DataType.QA,
        after_line=0,
        count=1,
        chat_template=what,
        max_sequence_length=8,
    )


async def test_one_process_answers_all_questions_in_turn(companion: Companion) -> None:
    assert companion.pid is None
    answered = await asyncio.gather(*(ask(companion) for _ in range(8)))
    assert set(answered) == {companion.pid}


async def test_a_refusal_is_passed_on_and_the_process_stays(companion: Companion) -> None:
    first = await ask(companion)
    with pytest.raises(Unanswered) as refused:
        await ask(companion, "refuse")
    assert refused.value.failure.message == "No."
    assert await ask(companion) == first


async def test_a_crash_is_told_with_its_last_words_and_mended(companion: Companion) -> None:
    first = await ask(companion)
    with pytest.raises(Unavailable, match=r"has ended\. Something broke"):
        await ask(companion, "crash")
    assert await ask(companion) != first


@pytest.mark.parametrize("how", ["killed", "left"])
async def test_a_process_that_went_between_questions_is_replaced_unnoticed(
    companion: Companion, how: str
) -> None:
    first = await ask(companion, "leave" if how == "left" else None)
    if how == "killed":
        os.kill(first, signal.SIGKILL)
    assert await ask(companion) != first


async def test_an_answer_that_does_not_come_is_not_waited_for(companion: Companion) -> None:
    first = await ask(companion)
    companion._answer_seconds = 0.2
    with pytest.raises(Unavailable, match="no answer within 0 seconds"):
        await ask(companion, "hang")
    assert not is_alive(first)
    companion._answer_seconds = 20
    assert await ask(companion) != first


async def test_whoever_gives_up_leaves_no_answer_for_the_next(companion: Companion) -> None:
    first = await ask(companion)
    asking = asyncio.create_task(ask(companion, "hang"))
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not is_alive(first)
    assert await ask(companion) == companion.pid


async def test_a_slow_answer_is_not_waited_for_and_its_process_stays(companion: Companion) -> None:
    assert await companion.ask_within(0, Kind.PREVIEW, question(), Preview) is None
    first = await ask(companion)
    answer = await companion.ask_within(20, Kind.PREVIEW, question(), Preview)
    assert answer is not None
    assert answer.stop_tokens == (str(first),)
    with pytest.raises(Unanswered):
        await companion.ask_within(20, Kind.PREVIEW, question("refuse"), Preview)
    assert await companion.ask_within(0.1, Kind.PREVIEW, question("hang"), Preview) is None
    assert is_alive(first)
    await companion.close()
    assert not is_alive(first)


async def test_too_many_at_a_time_are_refused(companion: Companion) -> None:
    answered = await asyncio.gather(
        *(ask(companion) for _ in range(MOST_WAITING + 3)), return_exceptions=True
    )
    refused = [each for each in answered if isinstance(each, BaseException)]
    assert [type(each) for each in refused] == [Unavailable] * 3
    assert set(answered) - set(refused) == {companion.pid}


async def test_it_rests_when_nobody_asks(companion: Companion) -> None:
    companion._child._idle_seconds = 0.2
    first = await ask(companion)
    assert is_alive(first)
    for _ in range(100):
        if not is_alive(first):
            break
        await asyncio.sleep(0.05)
    assert companion.pid is None
    assert not is_alive(first)
    assert await ask(companion) != first


def test_it_dies_with_its_parent() -> None:
    program = f"""
import asyncio, os
from jobs.processes.companion import Companion
from tests.jobs.processes.test_companion import ask

async def main():
    companion = Companion({SCRIPTED!r})
    print(await ask(companion), flush=True)
    os._exit(9)

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 9, ran.stderr
    pid = int(ran.stdout)
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
