"""What an arm measures of itself; imports nothing, so that it serves in the peers' environment too."""

import hashlib
import json
import re
import resource
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.5
"""A look takes some four milliseconds for each process."""


class Stopwatch:
    """Times and memory from its making to `stop`, of this process and of those that it starts."""

    def __init__(self) -> None:
        self._shared_peak = 0
        self._stopped = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()
        self._wall = time.perf_counter()
        self._cpu = _cpu_seconds()
        self._figures: dict[str, Any] = {}

    def stop(self) -> None:
        """The work is done. What follows is proof."""
        status = Path("/proc/self/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        self._figures = {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": _cpu_seconds() - self._cpu,
            "peak_bytes": max(int(peak[1]) * 1024, self._shared_peak),
        }
        self._stopped.set()

    def write(self, folder: Path, **proof: Any) -> None:
        """Leave the figures and the proof in `figures.json`."""
        (folder / "figures.json").write_text(json.dumps(self._figures | proof))

    def _look(self) -> None:
        """Note, while there are several processes, what they have resident together."""
        while not self._stopped.wait(LOOK_SECONDS):
            if started := _children():
                resident = sum(map(_share_of_memory, ["self", *started]))
                self._shared_peak = max(self._shared_peak, resident)


def _cpu_seconds() -> float:
    """Of this process, and of those that it started and that have left."""
    left = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + left.ru_utime + left.ru_stime


def _children() -> list[str]:
    """The processes that this one started and that are there; none of them starts others."""
    return [
        pid
        for each in Path("/proc/self/task").iterdir()
        for pid in _text(each / "children").split()
    ]


def _share_of_memory(pid: str) -> int:
    """What a process has resident, in bytes; of what several share, its share of each page."""
    share = re.search(r"^Pss:\s+(\d+) kB", _text(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(share[1]) * 1024 if share else 0


def _text(path: Path) -> str:
    """Of a file of a thread or process; none where that has left."""
    try:
        return path.read_text()
    except OSError:
        return ""


def lines_proof(lines: Iterable[bytes]) -> dict[str, Any]:
    """How many records there are, and a digest of them all."""
    digest = hashlib.sha256()
    rows = 0
    for line in lines:
        digest.update(line)
        rows += 1
    return {"rows": rows, "digest": digest.hexdigest()}


def ids_proof(rows: Iterable[Sequence[int]]) -> dict[str, Any]:
    """How many rows and tokens there are, and a digest of all ids in order."""
    digest = hashlib.sha256()
    count = tokens = 0
    for ids in rows:
        digest.update(array("I", [len(ids), *ids]))
        tokens += len(ids)
        count += 1
    return {"rows": count, "tokens": tokens, "digest": digest.hexdigest()}
