"""How fast this machine multiplies matrices: `python -m benchmarks.training.machine` prints it.

One line of JSON: floating-point operations a second by element type, the best of many products of
2048 x 2048 matrices, with the threads that the environment grants; on a GPU of 8192 x 8192.
"""

import json
import time

import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 2048 if DEVICE.type == "cpu" else 8192
SECONDS = 1.5


def main() -> None:
    """Measure and print."""
    print(json.dumps({"bf16": _peak(torch.bfloat16), "fp32": _peak(torch.float32)}))


def _peak(dtype: torch.dtype) -> float:
    left = torch.randn(SIDE, SIDE).to(DEVICE, dtype)
    right = torch.randn(SIDE, SIDE).to(DEVICE, dtype)
    _multiply(left, right)
    best = float("inf")
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        _multiply(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best


def _multiply(left: Tensor, right: Tensor) -> None:
    """A product, to its end."""
    left @ right.T
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
