"""What this machine computes with, probed, and which library versions do it."""

import os
import time
from contextlib import suppress
from importlib import metadata
from typing import Final

import torch

from training.config import Frozen

_PROBED: Final = 512
"""Rows and columns of the matrices that are multiplied to see which arithmetic is faster."""

LIBRARIES: Final = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")


class Hardware(Frozen):
    """The device a run trains on."""

    device: str
    """A torch device: `cpu` or `cuda`."""
    name: str
    cores: int
    """Cores this process may use."""
    bfloat16: bool
    """Whether bf16 arithmetic is native; where it is not, fp32 is faster. fp16 is never used."""
    sharers: int = 1
    """Processes of the run that hold memory of this machine's; each has a graphics card alone."""

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return torch.bfloat16 if self.bfloat16 else torch.float32


def probe() -> Hardware:
    """The device to train on: CUDA where a driver answers, else the CPU."""
    cores = len(os.sched_getaffinity(0))
    if torch.cuda.is_available():
        return Hardware(
            device="cuda",
            name=torch.cuda.get_device_name(),
            cores=cores,
            bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
        )
    return Hardware(
        device="cpu",
        name=torch.backends.cpu.get_cpu_capability(),
        cores=cores,
        bfloat16=_cpu_has_bfloat16(),
    )


def library_versions() -> dict[str, str]:
    """The versions that decide a run's result, by package name; those that are installed."""
    versions = {}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _cpu_has_bfloat16() -> bool:
    """Whether the processor names such instructions, and a matrix product is the faster for it."""
    capabilities = torch.cpu.get_capabilities()
    named = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool(named) and _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """The shortest time of some matrix products; a machine that is busy slows both kinds."""
    left = torch.ones(_PROBED, _PROBED).to(dtype)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(left, left)
        times.append(time.perf_counter() - started)
    return min(times)
