"""Linear layers of a graph in 8 bits, each block of 32 weights with a scale of its own.

Activations stay as they are: quantised as well, by ranges taken on the fly, they made of SmolLM2-135M
another model (a KL divergence of 0.69 from the trained one, where weights alone give 0.0014).
"""

import logging
from pathlib import Path
from typing import Final

import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from training.export.onnx.names import GRAPH, WEIGHTS

__all__ = ["quantise"]

_BLOCK: Final = 32
_LEAST_EXTERNAL_BYTES: Final = 1024
_TALKATIVE: Final = ("onnx_ir", "onnxruntime", "onnxscript")


def quantise(source: Path, folder: Path) -> int:
    """Write the graph in `source` with such layers into `folder`; how many there are."""
    for name in _TALKATIVE:  # importing the quantiser lets every library tell each step
        logging.getLogger(name).setLevel(logging.WARNING)
    model = onnx.load(source / GRAPH)
    _part_products_from_biases(model.graph)
    quantiser = MatMulNBitsQuantizer(model, bits=8, block_size=_BLOCK, is_symmetric=True)
    quantiser.process()
    made: ModelProto = quantiser.model.model
    onnx.save_model(
        made,
        folder / GRAPH,
        save_as_external_data=True,
        location=WEIGHTS,
        size_threshold=_LEAST_EXTERNAL_BYTES,
    )
    return sum(node.op_type == "MatMulNBits" for node in made.graph.node)


def _part_products_from_biases(graph: GraphProto) -> None:
    """Write each Gemm that multiplies as MatMul does, and then adds a bias, as these two: the
    quantiser knows MatMul alone."""
    nodes = [part for node in graph.node for part in _parted(node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _parted(node: NodeProto) -> list[NodeProto]:
    plain = all(
        helper.get_attribute_value(each) == (1 if each.name in ("alpha", "beta") else 0)
        for each in node.attribute
    )
    if node.op_type != "Gemm" or not plain:
        return [node]
    factor, weight, *bias = node.input
    if not bias:
        return [helper.make_node("MatMul", [factor, weight], node.output, name=node.name)]
    product = f"{node.output[0]}_product"
    return [
        helper.make_node("MatMul", [factor, weight], [product], name=f"{node.name}_product"),
        helper.make_node("Add", [product, bias[0]], node.output, name=node.name),
    ]
