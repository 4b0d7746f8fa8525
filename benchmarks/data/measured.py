"""What an arm measures of itself; imports nothing, so that it serves in the peers' environment too."""

import hashlib
import json
import re
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Stopwatch:
    """Times and memory from its making to `stop`."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        self._figures: dict[str, Any] = {}

    def stop(self) -> None:
        """The work is done. What follows is proof."""
        status = Path("/proc/self/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        self._figures = {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_bytes": int(peak[1]) * 1024,
        }

    def write(self, folder: Path, **proof: Any) -> None:
        """Leave the figures and the proof in `figures.json`."""
        (folder / "figures.json").write_text(json.dumps(self._figures | proof))


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
