"""Children end when their parent does."""

import asyncio
import signal
import subprocess
import sys

from api.local.lifeline import start_watchdog
from tests.api.local.processes import run_python, wait_until
from tests.processes import is_alive

LIVE = """
import time
from api.local.lifeline import exit_with_parent
exit_with_parent()
print("up", flush=True)
time.sleep(60)
"""

WATCH_A_STRANGER = """
import asyncio, sys, time
from api.local.lifeline import start_watchdog

async def main():
    watchdog = await start_watchdog(int(sys.argv[1]))
    print(watchdog.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_child_ends_politely_when_its_standard_input_does() -> None:
    child = run_python(LIVE)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    assert child.poll() is None
    child.communicate()
    assert child.wait(10) == -signal.SIGTERM


def test_the_watchdog_ends_a_program_whose_keeper_was_killed() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    keeper = run_python(WATCH_A_STRANGER, str(stranger.pid))
    assert keeper.stdout is not None
    watchdog = int(keeper.stdout.readline())
    assert stranger.poll() is None
    keeper.kill()
    keeper.communicate()
    assert stranger.wait(10) == -signal.SIGTERM
    wait_until(lambda: not is_alive(watchdog))


async def test_a_watchdog_that_is_killed_leaves_the_program_alone() -> None:
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(60)"
    )
    watchdog = await start_watchdog(stranger.pid)
    watchdog.kill()
    await watchdog.wait()
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()
