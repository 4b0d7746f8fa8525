"""llama.cpp's own quantiser, in a process of its own that may die without harm.

`python -P -m training.export.gguf.quantising SOURCE.gguf TARGET.gguf TYPE EXPORT_DIR`: what it says goes
to standard error, and the exit code is 0 where the file is whole. Meanwhile the pulse of the export
beats, which waits and would pass for hung.
"""

import argparse
import ctypes
import sys
from pathlib import Path
from typing import Final

import llama_cpp

from training.export.spec import WeightType
from training.progress.pulse import Pulse

_TYPES: Final = {
    WeightType.Q8_0: llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    WeightType.Q6_K: llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
    WeightType.Q5_K_M: llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    WeightType.Q4_K_M: llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    WeightType.Q4_0: llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
}


def main(arguments: list[str] | None = None) -> int:
    """Quantise one file; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.export.gguf.quantising", description="Quantise a GGUF file."
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("type", type=WeightType, choices=list(_TYPES))
    parser.add_argument("export_dir", type=Path)
    options = parser.parse_args(arguments)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = _TYPES[options.type]
    with Pulse(options.export_dir).while_busy():
        code = llama_cpp.llama_model_quantize(
            str(options.source).encode(), str(options.target).encode(), ctypes.byref(parameters)
        )
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
