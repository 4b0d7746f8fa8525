"""The measuring child: `python -P -m training.devices.rate OUT.json [--lifeline]`.

Multiplies some matrices, and writes `{"result": Rate}` or `{"error": Failure}`. It takes as long as
importing torch does, and some tenths of a second.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from training.devices.machine import Rate
from training.files import write_whole
from training.libraries import imported_at_once, memory_failures_named, prepare_environment
from training.outcomes import outcome_of
from training.progress.stopping import on_lost_parent

_SIDE: Final = 1024
"""Of the matrices: large enough to be multiplied at nearly full speed."""
_LOOK_SECONDS: Final = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Measure once; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.devices.rate", description="Measure the processor."
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: it is measured again
    prepare_environment("")
    write_whole(options.out, outcome_of(measure))
    return 0


def measure() -> Rate:
    """The fastest of many products: whatever else the machine does can only make one slower."""
    with imported_at_once():
        import torch  # seconds of imports

        from training.devices.hardware import probe
    with memory_failures_named():
        left = torch.ones(_SIDE, _SIDE, dtype=probe().dtype)
        seconds = _fastest(lambda: left @ left.T)
    return Rate(operations_per_second=2 * _SIDE**3 / seconds)


def _fastest(multiply: Callable[[], object]) -> float:
    """Seconds."""
    multiply()
    fastest, end = float("inf"), time.perf_counter() + _LOOK_SECONDS
    while (started := time.perf_counter()) < end:
        multiply()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


if __name__ == "__main__":
    sys.exit(main())
