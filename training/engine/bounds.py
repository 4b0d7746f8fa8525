"""What the engine's memory depends on, in numbers. Imports no torch, so that a run's memory can be
told before anything is loaded."""

from typing import Final

SHAPES: Final = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types whose layers are those of `training.engine.layer`; whether one really behaves so is
tested before it is trusted."""

CPU_TOKENS: Final = 2048
"""Tokens in memory at once on a CPU: a matrix product is at full speed with far fewer."""
GPU_TOKENS: Final = 8192

LONG_ROW: Final = 1024
"""Rows of more tokens go through torch's attention kernel on a CPU too, where there is none of our own."""
EVEN_HEAD: Final = 16
"""What the elements of a head must be a multiple of for our own, which are in bf16."""

LOGITS_BYTES: Final = 32 * 2**20
"""What the logits of a chunk of tokens would take in fp32 on a CPU, or half as much again at most."""
GPU_LOGITS_BYTES: Final = 512 * 2**20
"""The same on a GPU, which computes too few at less than full speed."""
LEAST_LOGITS_TOKENS: Final = 128
"""Tokens of a chunk, however wide the vocabulary: for fewer, reading the head's weight takes longer than
multiplying with it."""

_CHUNKS_TOGETHER: Final = 2
"""Chunks on a CPU whose gradient of the head's weight is one product: that of one is a thin one, and
takes another pass over a large sum."""

SPARE: Final = 0.1
"""Of the memory available: what may be taken to compute faster."""

_TOKENS_WORTH_A_LANE: Final = 128
"""A micro-batch of fewer tokens computes its matrix products at less than full speed."""


def lane_count(step_tokens: float, *, threads: int) -> int:
    """Micro-batches computed side by side for steps of so many tokens, on a CPU of so many threads."""
    return max(1, min(threads, int(step_tokens // _TOKENS_WORTH_A_LANE)))


def logits_chunks(tokens: float, vocabulary_size: int, *, on_cpu: bool) -> int:
    """In how many chunks of equal size the head is applied to so many tokens."""
    return max(1, round(tokens / _logits_tokens(vocabulary_size, on_cpu=on_cpu)))


def logits_groups(tokens: float, vocabulary_size: int, *, on_cpu: bool) -> int:
    """In how many groups of equal size the chunks of so many tokens yield the gradient of the head's
    weight."""
    together = _CHUNKS_TOGETHER if on_cpu else 1
    return max(1, round(tokens / (together * _logits_tokens(vocabulary_size, on_cpu=on_cpu))))


def _logits_tokens(vocabulary_size: int, *, on_cpu: bool) -> int:
    size_bytes = LOGITS_BYTES if on_cpu else GPU_LOGITS_BYTES
    return max(LEAST_LOGITS_TOKENS, size_bytes // (4 * vocabulary_size))
