"""This process by Linux's own books: what it holds in memory, what it may hold, how old it is."""

import ctypes
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_CGROUPS: Final = Path("/sys/fs/cgroup")
_LIMIT_FILES: Final = {"": "memory.max", "memory": "memory.limit_in_bytes"}
"""Where a control group's limit stands, by the controller's name: version 2 has none."""


_COUNTS: Final = Path("/proc/vmstat")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

_PAGE_OUT: Final = 21
"""MADV_PAGEOUT of madvise(2), of Linux 5.4; older ones refuse it, to no harm."""


class FileMapping(NamedTuple):
    """A stretch of addresses backed by a file, and how much of it lies in memory."""

    start: int
    end: int
    resident_bytes: int


def resident_bytes() -> int:
    """Memory held now, pages of mapped files included."""
    return _status("VmRSS")


def peak_resident_bytes() -> int:
    """The most that was held since the process began."""
    return _status("VmHWM")


def available_bytes(sharers: int = 1) -> int:
    """The most this process could hold: what the machine has left, within its control groups, both
    in equal parts where `sharers` like processes are to have them."""
    left = int(_fields(Path("/proc/meminfo"))["MemAvailable"].split()[0]) * 1024
    groups = Path("/proc/self/cgroup").read_text()
    limits = [limit // sharers for limit in control_group_limits(groups, _CGROUPS)]
    return min([left // sharers + resident_bytes(), *limits])


def give_back_freed_memory() -> None:
    """Return to the machine what was freed and is kept for later, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl keeps nothing
    if trim is not None:
        trim(0)


def page_out(address: int, size_bytes: int) -> None:
    """Let pages that will not be looked at go, where Linux can. Nothing is lost: whatever reads them
    after all finds them where they came from."""
    page = os.sysconf("SC_PAGE_SIZE")
    start = -(-address // page) * page
    length = (address + size_bytes) // page * page - start
    if length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _PAGE_OUT)


def kernel_kills() -> int | None:
    """How many processes of the machine, containers' included, the kernel has ended for lack of
    memory since it began; None where it does not say, as before Linux 4.13."""
    try:
        counts = dict(line.split() for line in _COUNTS.read_text().splitlines())
        return int(counts["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def boot_id() -> str:
    """What names the machine from its start to its end, containers' included."""
    return _BOOT.read_text().strip()


def seconds_alive() -> float:
    """Since the process began."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_seconds = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_seconds


def mappings_of(suffix: str) -> list[FileMapping]:
    """The mapped files whose names end like this."""
    found = []
    addresses: tuple[int, int] | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            mapped = line.endswith(suffix)
            addresses = (int(header[1], 16), int(header[2], 16)) if mapped else None
        elif addresses and line.startswith("Rss:"):
            found.append(FileMapping(*addresses, int(line.split()[1]) * 1024))
    return found


def control_group_limits(groups: str, mounted: Path) -> Iterator[int]:
    """The limits of the control groups that `/proc/self/cgroup` names, and of those above them, as
    far as they can be read."""
    for line in groups.splitlines():
        _, controller, path = line.split(":", 2)
        name = _LIMIT_FILES.get(controller)
        if name is None:
            continue
        root = mounted / controller
        group = root / path.lstrip("/")
        for folder in (group, *(each for each in group.parents if each.is_relative_to(root))):
            try:
                limit = (folder / name).read_text().strip()
            except OSError:
                continue  # a container sees its own group as the root
            if limit != "max":
                yield int(limit)


def _status(name: str) -> int:
    return int(_fields(Path("/proc/self/status"))[name].split()[0]) * 1024


def _fields(path: Path) -> dict[str, str]:
    return dict(line.split(":", 1) for line in path.read_text().splitlines())
