"""Dropout of adapters: cheap to draw on a CPU, and a function of the seed alone.

torch draws one number of full precision for each element, one after the other; of a LoRA step on a
small model that was a quarter of the time. Here a micro-batch draws one pool of masks, a sixteen-bit
number for each element, and every adapter's mask is cut from it at a random place.
"""

import random
from typing import Final

import torch
from torch import Tensor

_LEVELS: Final = 2**15
"""How finely a probability can be told: that of dropping is rounded to a multiple of 1/32768."""

_INTEGERS: Final = {2: torch.int16, 4: torch.int32}
"""By the size of an element, what its bits are seen as."""


class Dropout:
    """Masks for inputs of at most `largest` elements, drawn from one seed."""

    def __init__(
        self,
        probability: float,
        *,
        seed: int,
        largest: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._kept_levels = round((1 - probability) * _LEVELS)
        # On a GPU a pass may be recorded, and its places with it; the pool is another each time.
        places = seed if device.type == "cpu" else 0
        self._places = random.Random(places)  # noqa: S311 - a seeded draw, no secret
        self._largest = largest
        self._integer = _INTEGERS[dtype.itemsize]
        self._pool = self._drawn(seed, device) if self._kept_levels < _LEVELS else None

    @property
    def boost(self) -> float:
        """What makes up for the elements dropped: one divided by the share of those kept."""
        return _LEVELS / self._kept_levels

    def draw(self, seed: int) -> None:
        """Draw other masks from another seed, to the same place in memory."""
        if self._pool is not None:
            self._pool.copy_(self._drawn(seed, self._pool.device))

    def mask(self, like: Tensor) -> Tensor | None:
        """Bits to keep of each element, all or none; None where everything is kept."""
        if self._pool is None:
            return None
        place = self._places.randrange(self._largest)
        return self._pool[place : place + like.numel()].view(like.shape)

    def _drawn(self, seed: int, device: torch.device) -> Tensor:
        """A number of 15 bits for each element, and of that whether it is below the level kept."""
        generator = torch.Generator(device).manual_seed(seed)
        draws = torch.empty((2 * self._largest + 3) // 4, dtype=torch.int64, device=device)
        draws.random_(-(2**63), None, generator=generator)
        numbers = draws.view(torch.int16).bitwise_right_shift_(1)
        below = numbers.sub_(self._kept_levels - _LEVELS // 2).bitwise_right_shift_(15)
        return below.to(self._integer)


def pool_bytes(probability: float, *, largest: int, dtype: torch.dtype) -> int:
    """What the masks of a micro-batch take, for inputs of at most `largest` elements of a dtype."""
    if round((1 - probability) * _LEVELS) == _LEVELS:
        return 0
    return (2 * largest + 3) // 4 * 4 * dtype.itemsize


def masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """The elements kept, the others zero."""
    if mask is None:
        return tensor
    return tensor.view(mask.dtype).bitwise_and(mask).view(tensor.dtype)
