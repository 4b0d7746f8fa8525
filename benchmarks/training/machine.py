"""How fast this machine multiplies matrices: `python -m benchmarks.training.machine` prints it.

One line of JSON: floating-point operations a second by element type, the best of many products of
2048 x 2048 matrices, with the threads that the environment grants.
"""

import json
import time

import torch

SIDE = 2048
SECONDS = 1.5


def main() -> None:
    """Measure and print."""
    print(json.dumps({"bf16": _peak(torch.bfloat16), "fp32": _peak(torch.float32)}))


def _peak(dtype: torch.dtype) -> float:
    left = torch.randn(SIDE, SIDE).to(dtype)
    right = torch.randn(SIDE, SIDE).to(dtype)
    left @ right.T
    best = float("inf")
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        left @ right.T
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best


if __name__ == "__main__":
    main()
