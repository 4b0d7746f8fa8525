"""What the weights of a graph are stored in."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from training.export.exporters import Tensor
from training.export.spec import WeightType

__all__ = ["tensors"]

_FLOATS: Final = {int(TensorProto.FLOAT): "float32"}
_BYTES: Final = {int(TensorProto.FLOAT): 4, int(TensorProto.UINT8): 1}


def tensors(path: Path) -> Iterator[Tensor]:
    """The weights of a graph's file, quantised ones with their scales; none of their values is read."""
    graph = onnx.load(path, load_external_data=False).graph
    left = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            sizes = {each.name: each.i for each in node.attribute}
            parts = [left.pop(name) for name in node.input[1:] if name in left]
            yield Tensor(WeightType.INT8, sizes["K"] * sizes["N"], sum(map(_size_bytes, parts)))
    for tensor in left.values():
        if tensor.data_type in _FLOATS:
            yield Tensor(_FLOATS[tensor.data_type], prod(tensor.dims), _size_bytes(tensor))


def _size_bytes(tensor: TensorProto) -> int:
    return int(prod(tensor.dims)) * _BYTES[tensor.data_type]
