"""The floating-point operations that training on some rows needs, however it is done.

Only useful ones count: no padding, nothing computed twice, the head at label positions alone. A
product of a token with a matrix of P weights takes 2P. For one token, P being the weights of all
linear layers but the head, A those of the adapters, V the vocabulary and H the hidden size:

                        LoRA            FULL
    forward             2P + 2A         2P
    gradient of inputs  2P + 2A         2P
    gradient of weights      2A         2P
    head, at a label    2VH + 2VH       2VH + 2VH + 2VH

Attention over a row of n tokens takes 2n²D in each layer forward, D being the width of all its query
heads: two products of n x n x D, of which a causal mask needs half. Its gradient takes twice that.
Left out as too little to matter: norms, activations, softmax, the optimizer. Counted though LoRA could
leave it out: the gradient of the first layer's inputs, which is 1 part in several hundred.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

Config: TypeAlias = dict[str, int]
"""The sizes in a model's `config.json`; what else is in there is not looked at."""

RANK: Final = 16
"""Of the adapters, in every arm."""


def training_flops(model: Path, *, method: str, lengths: Sequence[int], label_tokens: int) -> float:
    """Operations for one epoch over rows of these lengths, on a Llama-like model."""
    config: Config = json.loads((model / "config.json").read_bytes())
    shapes = _linear_shapes(config)
    layers = config["num_hidden_layers"]
    weights = layers * sum(wide * high for wide, high in shapes)
    adapters = layers * RANK * sum(wide + high for wide, high in shapes)
    head = config["vocab_size"] * config["hidden_size"]
    width = config["num_attention_heads"] * _head_size(config)
    attention = 6 * layers * width * sum(length**2 for length in lengths)
    if method == "FULL":
        return 6 * weights * sum(lengths) + 6 * head * label_tokens + attention
    per_token = 4 * weights + 6 * adapters
    return per_token * sum(lengths) + 4 * head * label_tokens + attention


def _linear_shapes(config: Config) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear layers in one block."""
    hidden, between = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * _head_size(config)
    keys = config["num_key_value_heads"] * _head_size(config)
    attention = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)]
    return [*attention, (hidden, between), (hidden, between), (between, hidden)]


def _head_size(config: Config) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
