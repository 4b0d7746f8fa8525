"""What the kernels take and give, by the names under which the library has them."""

from collections.abc import Mapping
from ctypes import c_float, c_int, c_int64, c_void_p
from typing import Final, NamedTuple


class Signature(NamedTuple):
    """Of one function. The number of threads comes last where one is taken."""

    taken: tuple[type, ...]
    given: type | None = None


_OF_ELEMENTS: Final[Mapping[str, Signature]] = {
    name: Signature((*taken, c_int))
    for name, taken in {
        "causal_softmax": (c_void_p, c_int64, c_int64, c_int64),
        "causal_softmax_backward": (c_void_p, c_void_p, c_int64, c_int64, c_int64, c_float),
        "cross_entropy": (*[c_void_p] * 4, c_int64, c_int64, c_float, c_float),
        "gated": (*[c_void_p] * 3, c_int64),
        "gated_backward": (*[c_void_p] * 3, c_int64),
        "norm_forward": (*[c_void_p] * 4, c_int64, c_int64, c_float),
        "norm_again": (*[c_void_p] * 4, c_int64, c_int64),
        "norm_backward": (*[c_void_p] * 4, c_int64, c_int64),
        "norm_weight_backward": (*[c_void_p] * 4, c_int64, c_int64),
        "turn": (*[c_void_p] * 3, *[c_int64] * 3),
    }.items()
}
"""There is one for each type of elements."""

_OF_WEIGHTS: Final[Mapping[str, Signature]] = {
    "add_up_gradients": Signature((c_void_p, c_void_p, c_int64, c_int64, c_int), c_float),
    "adamw": Signature((c_void_p, c_void_p, c_int64, c_int64, c_float, c_void_p, c_int)),
}

_OF_PAIRS: Final[Mapping[str, Signature]] = {
    "adapters_forward": Signature((c_void_p, c_int64, *[c_void_p] * 4, *[c_int64] * 2, c_int)),
    "adapters_backward": Signature((c_void_p, c_int64, *[c_void_p] * 6, *[c_int64] * 2, c_int)),
    "attend": Signature((*[c_void_p] * 7, *[c_int64] * 6, c_float, c_int)),
    "attend_backward": Signature((*[c_void_p] * 11, *[c_int64] * 6, c_float, c_int)),
    "attend_scratch": Signature((c_int64,) * 4, c_int64),
    "attend_backward_scratch": Signature((c_int64,) * 4, c_int64),
}
"""Those for bf16 alone, which are there where the processor multiplies it. The last two tell how many bytes
the two before them need for each thread."""


def signatures(*, pairs: bool) -> dict[str, Signature]:
    """Those of a library, which has the kernels for `pairs` of bf16 or has not."""
    found = {
        f"{name}_{kind}": signature
        for name, signature in _OF_ELEMENTS.items()
        for kind in ("bf16", "float")
    }
    return {**found, **_OF_WEIGHTS, **(_OF_PAIRS if pairs else {})}
