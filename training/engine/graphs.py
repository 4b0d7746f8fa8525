"""Small micro-batches on a GPU, recorded once for each shape and replayed (CUDA graphs).

To ask for the thousands of kernels of a pass takes Python some tens of milliseconds, and a GPU computes a
few hundred tokens in less. So a small pack is padded to one of few shapes. The first pack of a shape is
computed as any other, the second is recorded, and from then on one call replays all kernels on what was
copied to where they look.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from training.data.rows import TokenRow
from training.engine.decoder import Decoder
from training.engine.dropout import Dropout, pool_bytes
from training.engine.fusing import kernels_for
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

_BLOCK_BYTES: Final = 512
"""Torch's allocator hands out memory for a GPU in multiples of this."""


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
        self._apart(self._set_up)

    def serve(self, tokens: int) -> bool:
        """Whether a pack of so many tokens is computed here."""
        return tokens < SMALL and not self._fails

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

    def kept_bytes(self, packs: Iterable[Sequence[TokenRow]]) -> int:
        """What will stay held for the passes of these micro-batches that will be recorded."""
        return kept_bytes(packs, self._decoder)

    @torch.no_grad()
    def _set_up(self) -> None:
        """Have libraries take now what they hold for products on a stream, some 30 MB, so that it is seen by
        whoever looks at what is held before the first step."""
        some = self._decoder.embedding[:_ROWS]
        torch.mm(some, some.t())

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
    fuses = kernels_for(computes.embedding) is not None
    can = computes.keeps_rows_by_kernel and computes.head.cap is None and fuses
    return Graphs(computes) if can else None


def kept_bytes(packs: Iterable[Sequence[TokenRow]], decoder: Decoder) -> int:
    """What stays held of those micro-batches' passes that are recorded, where most is: what a pass reads,
    for each shape that comes twice. What it computes with goes back to a pool that all share."""
    small = (rows for rows in packs if sum(row.tokens for row in rows) < SMALL)
    counts = Counter(shape_of_rows(rows) for rows in small)
    kept = [_kept_bytes(shape, decoder) for shape, count in counts.items() if count > 1]
    return sum(sorted(kept, reverse=True)[:_MOST])


def _kept_bytes(shape: Shape, decoder: Decoder) -> int:
    whole, half = torch.int64.itemsize, torch.int32.itemsize
    pack = (shape.tokens, shape.tokens, shape.labels, shape.labels)
    dropout = pool_bytes(
        decoder.dropout, largest=shape.tokens * decoder.widest, dtype=decoder.embedding.dtype
    )
    share_and_sums = 3 * _BLOCK_BYTES
    held = (*(whole * each for each in pack), half * (shape.rows + 1), dropout)
    return share_and_sums + sum(_up(each, _BLOCK_BYTES) for each in held)


def shape_of(pack: Pack) -> Shape:
    """The shape that a pack is padded to: one token more at least, for padded labels to lie at."""
    return _shape(pack.lengths, labels=len(pack.targets))


def shape_of_rows(rows: Sequence[TokenRow]) -> Shape:
    """The same of rows that are no pack yet."""
    labels = sum(row.trained_tokens for row in rows)
    return _shape([row.tokens for row in rows], labels=labels)


def _shape(lengths: Sequence[int], *, labels: int) -> Shape:
    given = sum(lengths)
    tokens = _up(given + 1, _TOKENS if given < 8 * _TOKENS else 2 * _TOKENS)
    rows = max(_ROWS, _power_of_two(len(lengths) + 1))
    longest = max(_LONGEST, _power_of_two(max(*lengths, tokens - given)))
    return Shape(tokens, _up(labels, tokens // _LABEL_SHARES), rows, longest)


def fitted(pack: Pack) -> Pack:
    """A pack as its pass is recorded."""
    return padded(pack, shape_of(pack))


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
