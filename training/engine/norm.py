"""Root-mean-square normalisation, forward and backward (Zhang and Sennrich, 2019)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from training.engine.gradients import Gradients
from training.engine.native import kernels


@dataclass(frozen=True)
class RootMeanSquareNorm:
    """y = w x / sqrt(mean(x^2) + epsilon) over the last dimension, computed in fp32."""

    weight: Tensor
    trained_weight: Parameter | None
    epsilon: float

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, and the factor (…, 1) that made each vector's root mean square one."""
        if inputs.is_cuda:
            return self._fused(inputs)
        if self._has_kernels(inputs):
            return kernels.normalised(inputs, self.weight, self.epsilon)
        wide = inputs.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        factor = length.square_().div_(inputs.shape[-1]).add_(self.epsilon).rsqrt_()
        return self._weighted(wide * factor, inputs.dtype), factor

    def again(self, inputs: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, the factor being known, and what `backward` needs beside it: the inputs, or where
        no kernel computes them, what the outputs are before the weight, in fp32."""
        if inputs.is_cuda:
            return self._fused(inputs)[0], inputs
        if self._has_kernels(inputs):
            return kernels.normalised_again(inputs, factor, self.weight), inputs
        normal = inputs.float() * factor
        return self._weighted(normal, inputs.dtype), normal

    def backward(
        self, gradient: Tensor, normal: Tensor, factor: Tensor, *, gradients: Gradients
    ) -> Tensor:
        """The gradient of the inputs. `normal` is what `again` gives, and is not changed;
        `gradient` is used up."""
        if gradient.is_cuda:
            return self._fused_backward(gradient, normal, factor, gradients)
        if self._has_kernels(gradient):
            return self._by_kernels(gradient, normal, factor, gradients)
        wide = gradient.float()
        if self.trained_weight is not None:
            by_weight = (wide * normal).reshape(-1, normal.shape[-1]).sum(0)
            gradients.add(self.trained_weight, by_weight)
        scaled = wide * self.weight
        along = (scaled * normal).mean(-1, keepdim=True)
        return scaled.addcmul_(normal, along, value=-1).mul_(factor).to(gradient.dtype)

    def _fused(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        shape = inputs.shape[-1:]
        outputs, factor = torch.ops.aten._fused_rms_norm(inputs, shape, self.weight, self.epsilon)
        return outputs, factor

    def _fused_backward(
        self, gradient: Tensor, inputs: Tensor, factor: Tensor, gradients: Gradients
    ) -> Tensor:
        found: Tensor
        found, by_weight = torch.ops.aten._fused_rms_norm_backward(
            gradient,
            inputs,
            inputs.shape[-1:],
            factor,
            self.weight,
            [True, self.trained_weight is not None],
        )
        if self.trained_weight is not None:
            gradients.add(self.trained_weight, by_weight)
        return found

    def _has_kernels(self, inputs: Tensor) -> bool:
        return inputs.dtype is self.weight.dtype and kernels.serves(inputs)

    def _by_kernels(
        self, gradient: Tensor, inputs: Tensor, factor: Tensor, gradients: Gradients
    ) -> Tensor:
        if self.trained_weight is not None:
            by_weight = kernels.normalised_weight_backward(gradient, inputs, factor)
            gradients.add(self.trained_weight, by_weight)
        return kernels.normalised_backward_(gradient, inputs, factor, self.weight)

    def _weighted(self, normal: Tensor, dtype: torch.dtype) -> Tensor:
        return normal.to(dtype) * self.weight
