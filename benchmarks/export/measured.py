"""What an arm measures of itself; imports nothing of ours, so that it serves in the peers' environment too."""

import json
import re
import time
from pathlib import Path


class Stopwatch:
    """Times and memory of the work alone, from its making, when everything is imported, to `write`."""

    def __init__(self) -> None:
        self._imported = _resident("VmRSS")
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def write(self, folder: Path) -> None:
        """Leave the figures in `figures.json`."""
        figures = {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "imported_bytes": self._imported,
            "peak_bytes": _resident("VmHWM"),
        }
        (folder / "figures.json").write_text(json.dumps(figures))


def _resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
