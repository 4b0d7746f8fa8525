"""Which processes live."""

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether there is such a process, a zombie not counted; it may end while this looks."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has ended since, or this system has no such files
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"
