"""Dropout that does not dominate an adapter's cost on a CPU.

torch draws one number of full precision for each element, one after the other; of a LoRA step on a
small model that was a sixth of the time. Here a draw of 64 bits decides four elements.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field knows

_LEVELS = 2**16
"""How finely a probability can be told: that of dropping is rounded to a multiple of 1/65536."""


class Dropout(nn.Module):
    """Zeroes elements with probability `p` while training, and scales the others to make up."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._dropped_levels = round(p * _LEVELS)

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs with some elements dropped."""
        if not self.training or self._dropped_levels == 0:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        draws = torch.empty((inputs.numel() + 3) // 4, dtype=torch.int64)
        levels = draws.random_(-(2**63), None).view(torch.int16)[: inputs.numel()]
        kept = levels >= self._dropped_levels - _LEVELS // 2
        scale = _LEVELS / (_LEVELS - self._dropped_levels)
        return inputs * kept.view(inputs.shape).to(inputs.dtype).mul_(scale)
