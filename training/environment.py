"""What must be set before a process that trains starts. No torch here: the worker has none."""

import os
from typing import Final

__all__ = ["process_environment"]

_TUNABLES: Final = "GLIBC_TUNABLES"
_HUGE_PAGES: Final = "glibc.malloc.hugetlb=1"
"""Memory in pages of 2 MiB where Linux has them to give (madvise(2), MADV_HUGEPAGE): weights are read
in streams, and a translation for every 4 KiB took a twentieth of a LoRA step on a CPU. The C library
reads it once, at a process's start, and others pass it over."""


def process_environment(threads: int) -> dict[str, str]:
    """Variables for a process of so many threads, beside or in place of this one's own."""
    tunables = os.environ.get(_TUNABLES, "")
    if "glibc.malloc.hugetlb" not in tunables:
        tunables = ":".join(filter(None, (tunables, _HUGE_PAGES)))
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",  # spinning threads beside another process cost three times
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        _TUNABLES: tunables,
    }
