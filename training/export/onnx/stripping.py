"""An exported graph without what is of this machine: stack traces with its paths, names of symbols."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import onnx
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
)

from training.export.onnx.names import AXES

__all__ = ["strip"]

_Described: TypeAlias = (
    ModelProto | FunctionProto | GraphProto | NodeProto | TensorProto | ValueInfoProto
)


def strip(path: Path) -> None:
    """Rewrite a graph's file, whose weights lie beside it and stay as they are."""
    model = onnx.load(path, load_external_data=False)
    _strip_model(model)
    for value in (*model.graph.input, *model.graph.output):
        axes = AXES[value.name.partition(".")[0]]
        for axis, dimension in zip(axes, value.type.tensor_type.shape.dim, strict=True):
            if axis is not None:
                dimension.dim_param = axis
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip_model(model: ModelProto) -> None:
    _clear(model)
    for function in model.functions:
        _clear(function)
        for node in function.node:
            _clear(node)
    for graph in _graphs(model.graph):
        _clear(graph)
        del graph.value_info[:]
        for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
            _clear(part)


def _clear(part: _Described) -> None:
    part.ClearField("doc_string")
    part.ClearField("metadata_props")


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph, and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)
