"""What is trained, twice: as the model computes with it, and in fp32, as the optimizer moves it.

A step may move a weight by less than bf16 can tell from its value. Masters in fp32 add such steps up
(Micikevicius et al., 2018); where the model computes in fp32 itself, they are its own parameters.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from training.devices.parts import like
from training.engine.gradients import Gradients, summed
from training.models.precision import precisions


class TrainableWeights:
    """The trainable parameters of a model by name; `masters` are what the optimizer is given."""

    def __init__(self, model: Module, dtype: torch.dtype | None) -> None:
        """Bring the model's floating-point parameters to `dtype`, keeping fp32 where it is trained, and
        where the architecture computes in fp32.

        None for a sharded model, which is left as it is: its passes compute with copies of its own
        parameters, which are in fp32 where they are trained.
        """
        self.masters: dict[str, Parameter] = {}
        self._computed: dict[str, Parameter] = {}
        computed = {} if dtype is None else precisions(model, dtype)
        for name, parameter in model.named_parameters():
            if not parameter.dtype.is_floating_point:
                continue  # stored in 4 bits, and not trained
            if parameter.requires_grad:
                self._computed[name] = parameter
                self.masters[name] = _master(parameter, computed.get(name))
            if name in computed:
                parameter.data = parameter.data.to(computed[name])

    @property
    def parameters(self) -> Sequence[Parameter]:
        """As the model computes with them, in the order of the masters."""
        return tuple(self._computed.values())

    def move_to(self, device: torch.device) -> None:
        """Let the masters lie where the model does, before anything else holds on to them."""
        for master in self.masters.values():
            master.data = master.data.to(device)

    def collect(self, lanes: Sequence[Gradients]) -> None:
        """Give the masters the lanes' gradients; a parameter that none has touched gets none."""
        for master, gradient in zip(
            self.masters.values(), summed(lanes, self._computed.values()), strict=True
        ):
            master.grad = gradient

    @torch.no_grad()
    def publish(self) -> None:
        """Let the model compute with what the masters have become."""
        pairs = [
            (self._computed[name], master)
            for name, master in self.masters.items()
            if master is not self._computed[name]
        ]
        if pairs:
            computed, masters = zip(*pairs, strict=True)
            torch._foreach_copy_(computed, masters)

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Set the masters to stored ones of the same names, and publish them."""
        for name, stored in weights.items():
            self.masters[name].copy_(like(self.masters[name], stored))
        self.publish()

    def install(self) -> None:
        """Put the masters into the model in place of what it computed with, to be saved."""
        for name, master in self.masters.items():
            if master is not self._computed[name]:
                self._computed[name].data = master.data


def _master(parameter: Parameter, dtype: torch.dtype | None) -> Parameter:
    if dtype in (torch.float32, None) and parameter.dtype is torch.float32:
        return parameter
    return Parameter(parameter.detach().to(torch.float32))
