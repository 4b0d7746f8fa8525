"""What attention takes in, and gives gradients of."""

from typing import NamedTuple

from torch import Tensor


class Heads(NamedTuple):
    """Queries (T, H, d) and the keys and values (T, K, d) that H / K queries share."""

    queries: Tensor
    keys: Tensor
    values: Tensor
