"""What a machine offers to a run, found out without loading what a run computes with."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from training.config import Frozen
from training.devices import process
from training.devices.compiler import has_compiler

_PROCESSOR: Final = Path("/proc/cpuinfo")
_FAST_BFLOAT16: Final = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions that make bf16 worth its while; `training.devices.hardware` multiplies to be sure."""
_WIDE_REGISTERS: Final = "avx2"
"""Instructions without which there are no kernels."""
_BFLOAT16_SINCE: Final = 8
"""NVIDIA's compute capability from which cards compute in bf16."""
_ASK_SECONDS: Final = 10.0


class Machine(Frozen):
    """One device of a machine, as a run would find it."""

    device: str
    """A torch device: `cpu` or `cuda`."""
    bfloat16: bool
    """Whether it computes in bf16; else in fp32."""
    threads: int
    """Of one job, on a CPU."""
    available_bytes: int
    """What a run could hold: of the card's memory, or of the machine's."""
    compiles: bool = False
    """Whether kernels for its processor can be compiled there."""
    operations_per_second: float | None = None
    """At which a job's threads multiply large matrices on a CPU; None until that was measured."""

    @property
    def element_bytes(self) -> int:
        """Bytes of a number as it is computed with."""
        return 2 if self.bfloat16 else 4


class Rate(Frozen):
    """How fast a processor multiplies matrices of the type that runs compute in."""

    operations_per_second: float


def look(cuda: Sequence[str], *, threads: int) -> Machine | None:
    """The first of the CUDA devices with these names, or without any this machine's processor.

    None where the driver does not answer. Takes up to a second where there is a card.
    """
    if cuda:
        return _card(cuda[0], threads)
    described = _PROCESSOR.read_text()
    return Machine(
        device="cpu",
        bfloat16=processor_has_bfloat16(described),
        threads=threads,
        available_bytes=process.available_bytes(),
        compiles=_WIDE_REGISTERS in _features(described) and has_compiler(),
    )


def processor_has_bfloat16(described: str) -> bool:
    """Whether the processor that `/proc/cpuinfo` describes has instructions for bf16."""
    return not _FAST_BFLOAT16.isdisjoint(_features(described))


def _features(described: str) -> list[str]:
    flags = re.search(r"^flags\s*:(.*)$", described, re.MULTILINE)
    return flags[1].split() if flags is not None else []


def _card(name: str, threads: int) -> Machine | None:
    query = ["nvidia-smi", f"--id={name}", "--query-gpu=memory.free,compute_cap"]
    try:
        answer = subprocess.run(  # noqa: S603 - the name is one of our own environment's
            [*query, "--format=csv,noheader,nounits"],
            capture_output=True,
            check=True,
            text=True,
            timeout=_ASK_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return card_of(answer.stdout, threads=threads)


def card_of(answer: str, *, threads: int) -> Machine | None:
    """The card that a line of `nvidia-smi` describes: free MiB and compute capability."""
    found = re.match(r"(\d+), (\d+)\.\d+\s*$", answer)
    if found is None:
        return None
    return Machine(
        device="cuda",
        bfloat16=int(found[2]) >= _BFLOAT16_SINCE,
        threads=threads,
        available_bytes=int(found[1]) * 2**20,
    )
