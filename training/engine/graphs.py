"""Small micro-batches on a GPU, recorded once for each shape and replayed (CUDA graphs).

To ask for the thousands of kernels of a pass takes Python some tens of milliseconds, and a GPU computes a
few hundred tokens in less. So a small pack is padded to one of few shapes. The first pack of a shape is
computed as any other, the second is recorded, and from then on one call replays all kernels on what was
copied to where they look.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.engine.decoder import Decoder
from training.engine.dropout import Dropout
from training.engine.fusing import fuses
from training.engine.gradients import Gradients
from training.engine.head import Sums, TokenSums
from training.engine.packs import Pack

T = TypeVar("T")

SMALL: Final = 2048
"""Tokens up to which a pack is worth it: of more, a GPU is busy for as long as Python asks."""
_MOST: Final = 32
"""Shapes at most, for each takes memory."""

_TOKENS: Final = 64
_ROWS: Final = 8
_LONGEST: Final = 128
_LABEL_SHARES: Final = 4


class Shape(NamedTuple):
    """What decides which kernels are asked for, and with what arguments."""

    tokens: int
    labels: int
    rows: int
    longest: int


@dataclass(frozen=True)
class _Recorded:
    """What is replayed, where it looks, and where it leaves its sums."""

    graph: torch.cuda.CUDAGraph
    pack: Pack
    share: Tensor
    dropout: Dropout
    sums: Sums


class Graphs:
    """The backward passes of a decoder whose gradients always go to the same place."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._device = decoder.embedding.device
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._seen: set[Shape] = set()
        self._recorded: dict[Shape, _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._fails = False

    def serve(self, pack: Pack) -> bool:
        """Whether a pack is computed here."""
        return pack.tokens < SMALL and not self._fails

    def backward(self, pack: Pack, *, share: float, seed: int, gradients: Gradients) -> TokenSums:
        """Add the gradient of `share` times the pack's summed loss; the sums as they are."""
        shape = shape_of(pack)
        fitted = padded(pack, shape)
        if shape in self._seen and shape not in self._recorded and len(self._recorded) < _MOST:
            self._record(shape, fitted, gradients)
        recorded = self._recorded.get(shape)
        if recorded is None:
            self._seen.add(shape)
            return self._apart(
                lambda: self._decoder.backward(fitted, share=share, seed=seed, gradients=gradients)
            )
        for mine, given in zip(_tensors(recorded.pack), _tensors(fitted), strict=True):
            mine.copy_(given)
        recorded.share.fill_(share)
        recorded.dropout.draw(seed)
        gradients.begin_all()
        recorded.graph.replay()
        return recorded.sums.read()

    def forget(self) -> None:
        """Give back the memory of all that is recorded."""
        self._recorded.clear()
        self._seen.clear()

    def _record(self, shape: Shape, pack: Pack, gradients: Gradients) -> None:
        """Record the passes of a shape. Where that fails, none is tried any more: all of this only
        saves time."""
        share = torch.zeros((), dtype=torch.float32, device=self._device)
        dropout = self._decoder.dropout_for(pack, seed=0)
        graph = torch.cuda.CUDAGraph()

        def ask() -> Sums:
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                return self._decoder.add_gradients(
                    pack, share=share, dropout=dropout, gradients=gradients
                )
            finally:
                graph.capture_end()

        gradients.begin_all()
        try:
            sums = self._apart(ask)
        except RuntimeError:
            self._fails = True
            self.forget()
        else:
            self._recorded[shape] = _Recorded(graph, pack, share, dropout, sums)

    def _apart(self, compute: Callable[[], T]) -> T:
        """Do something on the stream on which passes are recorded, so that what libraries set up for
        a stream is there."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = compute()
        current.wait_stream(self._stream)
        return result


def graphs_for(computes: object, device: torch.device) -> Graphs | None:
    """Graphs of what computes, where it can be recorded."""
    if not isinstance(computes, Decoder) or device.type != "cuda":
        return None
    can = computes.keeps_rows_by_kernel and computes.head.cap is None and fuses(computes.embedding)
    return Graphs(computes) if can else None


def shape_of(pack: Pack) -> Shape:
    """The shape that a pack is padded to: one token more at least, for padded labels to lie at."""
    tokens = _up(pack.tokens + 1, _TOKENS if pack.tokens < 8 * _TOKENS else 2 * _TOKENS)
    labels = _up(len(pack.targets), tokens // _LABEL_SHARES)
    rows = max(_ROWS, _power_of_two(len(pack.borders)))
    longest = max(_LONGEST, _power_of_two(max(pack.longest, tokens - pack.tokens)))
    return Shape(tokens, labels, rows, longest)


def padded(pack: Pack, shape: Shape) -> Pack:
    """A pack of that shape: the tokens added are a row of their own, and bear no loss."""
    tokens, labels = shape.tokens - pack.tokens, shape.labels - len(pack.targets)
    return Pack(
        rows=pack.rows,
        input_ids=F.pad(pack.input_ids, (0, tokens)),
        position_ids=F.pad(pack.position_ids, (0, tokens)),
        positions=F.pad(pack.positions, (0, labels), value=pack.tokens),
        targets=F.pad(pack.targets, (0, labels), value=-1),
        borders=F.pad(pack.borders, (0, shape.rows + 1 - len(pack.borders)), value=shape.tokens),
        longest=shape.longest,
    )


def _tensors(pack: Pack) -> tuple[Tensor, ...]:
    return pack.input_ids, pack.position_ids, pack.positions, pack.targets, pack.borders


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
