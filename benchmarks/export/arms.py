"""Who writes what, in which process, and where under `.bench` it lies."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(".bench")
OURS: Final = "ours"


@dataclass(frozen=True)
class Format:
    """One kind of file, as we ask for it and as the peer does; `peer` is None where none writes it."""

    format: str
    weight_type: str
    """Empty for the format's own choice."""
    runtime: str
    """By which `benchmarks.export.proof` loads it."""
    peer: str | None = None
    precision: str = ""
    """What the peer calls the weights."""
    same_bytes: bool = False
    """Whether the tensors of both must be the same to the bit."""


FORMATS: Final[Mapping[str, Format]] = {
    "gguf-f16": Format("GGUF", "F16", "gguf", "llama.cpp", "f16", same_bytes=True),
    "gguf-q8_0": Format("GGUF", "Q8_0", "gguf", "llama.cpp", "q8_0", same_bytes=True),
    "gguf-q4_k_m": Format("GGUF", "Q4_K_M", "gguf"),
    "onnx": Format("ONNX", "", "onnx", "onnxruntime-genai", "fp32"),
    "onnx-int8": Format("ONNX", "INT8", "onnx", "onnxruntime-genai", "int8"),
    "safetensors": Format("SAFETENSORS", "", "transformers"),
    "pytorch": Format("PYTORCH", "", "torch"),
}


@dataclass(frozen=True)
class Place:
    """Where a model's files and runs lie."""

    model_name: str

    @property
    def model(self) -> Path:
        """The checkpoint that every arm reads."""
        return (HOME / "models" / self.model_name).resolve()

    @property
    def folder(self) -> Path:
        """What the runs leave."""
        return (HOME / "export" / self.model_name).resolve()


def arms_of(wanted: Format) -> tuple[str, ...]:
    """Ours, and the peer's where there is one."""
    return (OURS,) if wanted.peer is None else (OURS, wanted.peer)


def command_of(arm: str, wanted: Format, place: Place, folder: Path, *, peers: Path) -> list[str]:
    """What writes the file into a folder."""
    model, out = str(place.model), str(folder)
    if arm == OURS:
        program = [sys.executable, "-m", "benchmarks.export.ours"]
        return [*program, wanted.format, wanted.weight_type, model, out]
    peer = str(Path(__file__).with_name("peer.py").resolve())
    source = str((HOME / "llama.cpp").resolve())
    program = [str(peers / "bin" / "python"), "-P", peer]
    return [*program, arm, wanted.precision, model, out, source]
