"""A child process that does the heavy work: started, asked to stop, and surely gone afterwards."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Child", "child_environment"]

TAIL_BYTES = 2000
_OF_A_LAUNCHER: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class Child:
    """One run of `python -P -m MODULE ARGUMENTS --lifeline`, in a process group of its own.

    Its stdin is a lifeline: a pipe to which nothing but `begin` writes and that closes when this
    process dies, however it dies; the child then saves what it has and leaves. Output goes to a log file.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        log: Path,
        threads: int,
        cuda_devices: Sequence[str] = (),
    ) -> "Child":
        """Start `module`; its threads are bounded before it can import torch, and of CUDA's devices
        it sees those named, or where none is named, those that this process sees."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", module, *arguments, "--lifeline"),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=child_environment(threads, cuda_devices),
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Null while it runs; negative where a signal ended it."""
        return self._process.returncode

    def begin(self) -> None:
        """Let a child begin that was started with `--await-word`; nothing where it has left."""
        assert self._process.stdin is not None  # noqa: S101 - started with a pipe
        with suppress(ConnectionError):
            self._process.stdin.write(b"\n")

    async def wait(self) -> int:
        """The exit code, once it has left."""
        return await self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM: save a checkpoint and leave."""
        self._signal(signal.SIGTERM)

    async def stop(self, grace_seconds: float) -> int:
        """Ask, wait, then kill with all that it started; the exit code."""
        self.ask_to_stop()
        try:
            async with asyncio.timeout(grace_seconds):
                await self.wait()
        except TimeoutError:
            pass
        finally:
            self.kill()
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group, whether or not its leader is still there."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def log_tail(self) -> str:
        """The end of what it printed, for the message that says why it died."""
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
        return ""

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def child_environment(threads: int, cuda_devices: Sequence[str] = ()) -> dict[str, str]:
    """This process's environment without the service's own secrets, however they are spelt, and
    without what a launcher of training processes told it of itself."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if "TUNERY_" not in name.upper() and name not in _OF_A_LAUNCHER
    }
    devices = {"CUDA_VISIBLE_DEVICES": ",".join(cuda_devices)} if cuda_devices else {}
    return (
        inherited
        | devices
        | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",  # spinning threads beside another process cost three times
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONUNBUFFERED": "1",
        }
    )
