"""What one micro-batch holds while it passes through a model, in bytes, from the model's shape alone.

Where layers are written out, the terms are those of `training.engine.layer`, `attention` and `head`.
Where automatic differentiation does the way back, each term is a factor that was fitted to dry runs.
`tests/training/test_closed_form.py` holds both against dry runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from training.engine.bounds import logits_chunks, logits_groups
from training.models.facts import ModelShape

_WIDE: Final = 4
"""Bytes of a number that is always in fp32."""


@dataclass(frozen=True)
class Pass:
    """A micro-batch, and how it is computed."""

    tokens: float
    longest: float
    """Tokens of its longest row."""
    square: float
    """The sum of its rows' lengths squared: how many scores a head has."""
    trained_tokens: float
    """Those that bear loss."""
    element: int
    """Bytes of a number as it is computed with."""
    on_cpu: bool
    by_kernel: bool
    """Whether attention keeps no scores."""
    copies_heads: bool
    """Whether it keeps copies of what it takes instead."""
    layers_kept: int
    """Layers that keep what their backward pass needs."""
    rank: int
    """Of the adapters; 0 where the layers' own weights are trained."""
    drops: bool
    """Whether adapters drop inputs."""
    decomposes: bool
    """Whether adapters train the length of a weight's rows apart (DoRA)."""
    trains_head: bool
    compiled: bool
    """Whether kernels of our own compute losses, so that no logits are in fp32."""
    unpacks: bool
    """Whether weights are in 4 bits, and unpacked to be multiplied with."""


class Passing(NamedTuple):
    """Bytes at the moment when most is held."""

    activations: float
    logits: float

    @property
    def total(self) -> float:
        """Both."""
        return self.activations + self.logits


def through_written_layers(shape: ModelShape, work: Pass) -> Passing:
    """By layers that are written out in both directions."""
    kept = work.layers_kept * _layer_kept(shape, work) + _brought(shape, work)
    return _most(kept, [*_at_head(shape, work), Passing(_layer_backward(shape, work), 0.0)])


def through_own_layers(shape: ModelShape, work: Pass) -> Passing:
    """By the layers that transformers has for the model, and automatic differentiation."""
    factors = (_BESIDE_ADAPTERS if work.rank else _TRAINED)[shape.model_type]
    if work.drops:
        factors = factors.plus(_DROPPED_OF_GPT2 if shape.model_type == "gpt2" else _DROPPED)
    if shape.attention_dropout and shape.model_type == "gpt2":
        factors = factors.plus(_HIDDEN_DROPOUT)
    widths = (shape.hidden_size, _own(shape), shape.intermediate_size)
    per_token = sum(
        factor * width for factor, width in zip(factors.elements(work.element), widths, strict=True)
    )
    if work.decomposes:
        outputs = sum(each.outputs for each in shape.linears)
        per_token += _DECOMPOSED * work.element * outputs
    scores = shape.heads * work.square * _score_bytes(shape, work.element)
    kept = work.layers_kept * (work.tokens * per_token + scores)
    weights = 5 if work.decomposes else 1
    backward = work.tokens * _RETURNING * shape.hidden_size + weights * _largest_weight(shape)
    return _most(kept, [*_at_head(shape, work), Passing(backward * work.element, 0.0)])


def _most(kept: float, moments: list[Passing]) -> Passing:
    most = max(moments, key=lambda each: each.total)
    return Passing(kept + most.activations, most.logits)


def _layer_kept(shape: ModelShape, work: Pass) -> float:
    """What `LayerKept` has for a micro-batch."""
    own, shared = _own(shape), shape.key_value_heads * shape.head_size
    heads = own + 2 * shared
    narrow = 2 * shape.hidden_size + heads + own + 2 * shape.intermediate_size
    narrow += work.rank * len(shape.linears)
    wide = 2
    if shape.model_type == "qwen3":  # queries and keys as they were before their norms
        narrow += own + shared
        wide += shape.heads + shape.key_value_heads
    if work.by_kernel:
        narrow += heads + own if work.copies_heads else 0
        wide += shape.heads
    scores = 0.0 if work.by_kernel else shape.heads * work.square * work.element
    return work.tokens * (narrow * work.element + wide * _WIDE) + scores


def _brought(shape: ModelShape, work: Pass) -> float:
    """What a pack brings to every layer: its stream, angles, mask, and the pool of dropout."""
    per_token = shape.hidden_size + 1.5 * shape.head_size
    if work.drops:
        per_token += max(shape.intermediate_size, shape.hidden_size, _own(shape))
    mask = 0.0 if work.by_kernel else work.longest**2
    return (work.tokens * per_token + mask) * work.element


def _at_head(shape: ModelShape, work: Pass) -> list[Passing]:
    """The logits of a chunk being made, while what came of the one before it in its group is still
    there; and the gradient of the head's weight beside that by the logits of a group."""
    vocabulary = shape.vocabulary_size
    divided = logits_groups if work.trains_head else logits_chunks
    group = work.trained_tokens / divided(work.trained_tokens, vocabulary, on_cpu=work.on_cpu)
    fused = work.compiled and not shape.squashes_logits
    whole = fused or not work.trains_head
    chunks = 1 if whole else logits_chunks(group, vocabulary, on_cpu=work.on_cpu)
    group_bytes = group * vocabulary * work.element
    narrow = work.element if work.element < _WIDE else 0
    each = left = work.element
    if shape.squashes_logits:
        each, left = 4 * _WIDE, 2 * _WIDE
    elif not work.compiled:
        each, left = _WIDE + narrow, _WIDE
    hidden = 3 * work.trained_tokens * shape.hidden_size * work.element
    made = group / chunks * vocabulary * each
    if chunks > 1:
        made += group / chunks * vocabulary * left + group_bytes
    moments = [Passing(hidden, made)]
    if work.trains_head:
        weight = vocabulary * shape.hidden_size * work.element
        moments.append(Passing(hidden + weight, group_bytes))
    return moments


def _layer_backward(shape: ModelShape, work: Pass) -> float:
    """What a layer's way back holds beside what was kept for it."""
    own, shared = _own(shape), shape.key_value_heads * shape.head_size
    wide = (4 if work.drops else 2) if work.compiled else (6 if work.drops else 5)
    forward = wide * shape.intermediate_size + shape.hidden_size
    attention = 3 * own + 4 * shared + shape.hidden_size
    if work.on_cpu and work.copies_heads:  # torch's kernel takes a key and a value for every query
        attention += 4 * own + 2 * shared
    scores = 0.0 if work.by_kernel else 2 * shape.heads * work.square
    elements = max(work.tokens * forward, work.tokens * attention + scores)
    if work.compiled:  # what the head took and gave, which elsewhere is in the rest
        elements += 4 * work.trained_tokens * shape.hidden_size
    weight = 0 if work.rank and not work.unpacks else _largest_weight(shape)
    return (elements + weight) * work.element


def _own(shape: ModelShape) -> int:
    """Elements of a token's queries."""
    return shape.heads * shape.head_size


def _largest_weight(shape: ModelShape) -> int:
    return max(each.inputs * each.outputs for each in shape.linears)


class _Factors(NamedTuple):
    """What a layer keeps of a token for each number of its stream, of its queries, and of its
    feed-forward part: so many numbers as it computes with, and so many bytes beside."""

    stream: float
    stream_bytes: float
    queries: float
    queries_bytes: float
    forward: float

    def plus(self, other: "_Factors") -> "_Factors":
        """Both."""
        return _Factors(*(one + two for one, two in zip(self, other, strict=True)))

    def elements(self, size: int) -> tuple[float, float, float]:
        """Bytes, a number having so many."""
        return (
            self.stream * size + self.stream_bytes,
            self.queries * size + self.queries_bytes,
            self.forward * size,
        )


_LLAMA: Final = _Factors(3.0, 12.2, 3.9, 0.0, 4.0)
_TRAINED: Final[Mapping[str, _Factors]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _Factors(3.0, 12.2, 5.5, 6.0, 4.0),
    "gemma2": _Factors(1.0, 36.5, 4.0, 0.0, 4.0),
    "gpt2": _Factors(5.0, 0.0, 5.0, 0.0, 5.0),
}
"""By model type, where the layers' own weights are trained."""

_LLAMA_BESIDE: Final = _Factors(1.15, 12.2, 4.0, 0.0, 4.0)
_BESIDE_ADAPTERS: Final[Mapping[str, _Factors]] = {
    "llama": _LLAMA_BESIDE,
    "mistral": _LLAMA_BESIDE,
    "qwen2": _LLAMA_BESIDE,
    "qwen3": _Factors(1.15, 12.2, 4.0, 5.7, 4.0),
    "gemma2": _Factors(1.15, 20.5, 4.0, 0.0, 4.0),
    "gpt2": _Factors(5.05, 0.0, 5.05, 0.0, 5.0),
}
"""By model type, where these stay as they are beside adapters."""

_DROPPED: Final = _Factors(8.0, 0.0, 1.0, 0.0, 1.0)
"""What adapters that drop inputs add: each has a mask and an input of its own."""
_DROPPED_OF_GPT2: Final = _Factors(1.5, 0.0, 1.5, 0.0, 1.0)
"""The same where one layer gives queries, keys and values, and there is no gate."""
_HIDDEN_DROPOUT: Final = _Factors(1.0, 0.0, 1.0, 0.0, 0.0)
"""What a model's own dropout adds behind attention and feed-forward part."""
_DECOMPOSED: Final = 2.1
"""What a token keeps for each output of a weight-decomposed layer, in numbers."""
_RETURNING: Final = 6.0
"""What the way back through a layer holds for each number of the stream, in numbers."""


def _score_bytes(shape: ModelShape, element: int) -> float:
    """What `packed_attention` keeps of each score: the softmax in fp32, its copy to multiply with,
    what dropout keeps, and what squashing does."""
    kept = _WIDE + (element if element < _WIDE else 0)
    if shape.attention_dropout:
        kept = _WIDE + 2 * element
    return max(kept, 8) if shape.model_type == "gemma2" else kept
