"""What the files of an ONNX export are called, and the inputs and outputs of its graph.

    input_ids, position_ids          batch, sequence
    attention_mask                   batch, total: 1 for each token of the cache and the sequence
    past_key_values.I.key / .value   batch, heads, past, width of a head; past may be 0
    logits                           batch, sequence, vocabulary
    present.I.key / .value           batch, heads, total, width of a head

These are the names that users of other exporters know.
"""

from typing import Final

__all__ = ["AXES", "GRAPH", "PAST", "PRESENT", "WEIGHTS"]

GRAPH: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
"""By the name that the graph has for it: both files move together."""

PAST: Final = "past_key_values"
PRESENT: Final = "present"
AXES: Final = {
    "input_ids": ("batch", "sequence"),
    "attention_mask": ("batch", "total"),
    "position_ids": ("batch", "sequence"),
    PAST: ("batch", None, "past", None),
    "logits": ("batch", "sequence", None),
    PRESENT: ("batch", None, "total", None),
}
"""By the first part of a name: those that vary, None for what the model fixes."""
