"""Where the small operations between matrix products go through one kernel instead of several."""

from importlib.util import find_spec
from typing import Final

from torch import Tensor

_HAS_TRITON: Final = find_spec("triton") is not None


def fuses(tensor: Tensor) -> bool:
    """Whether `training.engine.kernels` serves for a tensor."""
    return tensor.is_cuda and _HAS_TRITON
