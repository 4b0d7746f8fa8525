"""Attention in bf16 by kernels of our own, against the textbook's in fp64."""

from collections.abc import Iterator
from itertools import accumulate

import pytest
import torch

from training.data.rendering import Row
from training.engine.heads import Heads
from training.engine.native import attention as native
from training.engine.native.attention import Logarithms, Spans
from training.engine.native.library import Library, library
from training.engine.packs import make_pack
from training.engine.rows import attend, attend_backward, lay_out

ROUNDED = 2.0**-8
"""What a number may lose, relatively, when it is rounded to bf16."""

needs_kernels = pytest.mark.skipif(
    not library().multiplies_pairs, reason="there are no kernels for bf16 on this processor"
)


def drawn(lengths: tuple[int, ...], heads: int, shared: int, width: int) -> tuple[Heads, Spans]:
    torch.manual_seed(1)
    total = sum(lengths)
    shapes = ((total, heads, width), (total, shared, width), (total, shared, width))
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    parts = (torch.randn(shape, dtype=torch.bfloat16) for shape in shapes)
    return Heads(*parts), Spans(borders, lengths[0], None)


def textbook(
    heads: Heads, spans: Spans, scale: float, gradient: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The output and the gradients of queries, keys and values, in fp64."""
    exact = [each.double().requires_grad_() for each in heads]
    together = heads.queries.shape[1] // heads.keys.shape[1]
    queries, keys, values = (
        exact[0],
        *(each.repeat_interleave(together, dim=1) for each in exact[1:]),
    )
    place = torch.arange(len(queries))
    row = torch.bucketize(place, spans.borders[1:].long(), right=True)
    seen = (row[:, None] == row) & (place[:, None] >= place)
    if spans.window is not None:
        seen &= place[:, None] - place < spans.window
    scores = torch.einsum("qhd,khd->hqk", queries, keys) * scale
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    output = torch.einsum("hqk,khd->qhd", weights, values)
    return output.detach(), torch.autograd.grad(output, exact, gradient.double())


def lost(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@needs_kernels
@pytest.mark.parametrize(
    ("lengths", "heads", "shared", "width", "window"),
    [
        ((150, 49, 17, 16, 1), 9, 3, 64, None),
        ((65, 2, 1, 1), 4, 4, 32, None),
        ((33, 5), 7, 1, 80, None),
        ((130, 17), 14, 2, 16, 7),
        ((290,), 2, 2, 96, 100),
        ((300, 7), 4, 2, 128, 290),
        ((70, 64), 10, 1, 256, 1),
    ],
)
def test_outputs_and_gradients_lose_no_more_than_roundings(
    lengths: tuple[int, ...], heads: int, shared: int, width: int, window: int | None
) -> None:
    given, spans = drawn(lengths, heads, shared, width)
    spans, scale = spans._replace(window=window), 1.5 * width**-0.5
    gradient = torch.randn_like(given.queries)
    wanted, wanted_gradients = textbook(given, spans, scale, gradient)
    output, kept = native.attend(given, spans, scale)
    found = native.attend_backward(gradient, given, spans, scale=scale, kept=kept)
    assert lost(output, wanted) < ROUNDED
    largest = given.values.double().abs().max()
    assert float((output.double() - wanted).abs().max()) < 2 * ROUNDED * largest
    for ours, theirs in zip(found, wanted_gradients, strict=True):
        assert ours.dtype is torch.bfloat16
        if (
            float(theirs.norm()) > 1e-9
        ):  # of queries that see one key, nothing is left but roundings
            assert lost(ours, theirs) < 1.5 * ROUNDED


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@needs_kernels
@pytest.mark.usefixtures("threads")
def test_however_many_threads_there_are_the_bits_are_the_same() -> None:
    heads, spans = drawn((90, 50, 40, 3), 6, 3, 32)
    gradient = torch.randn_like(heads.queries)
    found = []
    for count in (1, 3, 3):
        torch.set_num_threads(count)
        output, kept = native.attend(heads, spans, 0.2)
        gradients = native.attend_backward(gradient, heads, spans, scale=0.2, kept=kept)
        found.append((output, kept.logarithms, *gradients))
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


@needs_kernels
def test_tensors_with_gaps_are_read_as_what_they_are() -> None:
    heads, spans = drawn((40, 9), 4, 2, 16)
    apart = Heads(*(each.repeat_interleave(2, dim=1)[:, ::2] for each in heads))
    assert not apart.queries.is_contiguous()
    output, kept = native.attend(heads, spans, 0.2)
    found, kept_apart = native.attend(apart, spans, 0.2)
    assert torch.equal(found, output)
    gradient = torch.randn(49, 16, 4, dtype=torch.bfloat16).transpose(1, 2)
    whole = native.attend_backward(gradient.contiguous(), heads, spans, scale=0.2, kept=kept)
    parts = native.attend_backward(gradient, apart, spans, scale=0.2, kept=kept_apart)
    assert all(map(torch.equal, whole, parts))


@needs_kernels
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_comes_through_in_its_own_row_alone(bad: float) -> None:
    heads, spans = drawn((40, 30), 4, 2, 32)
    gradient = torch.randn_like(heads.queries)
    for place, part in enumerate(heads):
        spoilt = Heads(*(each.clone() for each in heads))
        spoilt[place][40, 0, 3] = bad
        output, kept = native.attend(spoilt, spans, 0.2)
        assert output[:40].isfinite().all()
        assert not output[40:].isfinite().all()
        found = native.attend_backward(gradient, spoilt, spans, scale=0.2, kept=kept)
        assert all(each[:40].isfinite().all() for each in found)
        assert not all(each[40:].isfinite().all() for each in found), part


@needs_kernels
def test_without_memory_the_same_is_held_and_nothing_computed() -> None:
    heads, spans = drawn((40, 30), 4, 2, 32)
    empty = Heads(*(each.to("meta") for each in heads))
    output, kept = native.attend(empty, spans, 0.2)
    found = native.attend_backward(empty.queries, empty, spans, scale=0.2, kept=kept)
    assert output.is_meta
    assert kept.output is output
    assert (kept.logarithms.shape, kept.logarithms.dtype) == ((70, 4), torch.float32)
    assert [each.shape for each in found] == [each.shape for each in heads]


@needs_kernels
def test_a_pack_in_bf16_goes_through_the_kernels_and_others_through_products() -> None:
    pack = make_pack([Row(1, [5] * 30, [5] * 30, b""), Row(2, [5] * 20, [5] * 20, b"")])
    narrow = torch.empty(1, dtype=torch.bfloat16)
    assert lay_out(pack, like=narrow, width=32, window=9) == Spans(pack.borders, 30, 9)
    assert isinstance(lay_out(pack, like=narrow, width=24), tuple)
    assert not isinstance(lay_out(pack, like=narrow, width=24), Spans)
    assert not isinstance(lay_out(pack, like=narrow.float(), width=32), Spans)


def test_without_kernels_the_same_is_computed_by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_pack([Row(1, [5] * 30, [5] * 30, b""), Row(2, [5] * 20, [5] * 20, b"")])
    heads, spans = drawn((30, 20), 4, 2, 32)
    gradient = torch.randn_like(heads.queries).flatten(1)
    none = Library(None, "there is no compiler", multiplies_pairs=False)
    monkeypatch.setattr("training.engine.native.attention.library", lambda: none)
    rows = lay_out(pack, like=heads.queries, width=32)
    assert not isinstance(rows, Spans)
    output, kept = attend(heads, rows, 0.2)
    assert not isinstance(kept, Logarithms)
    found = attend_backward(gradient, heads, rows, scale=0.2, kept=kept)
    wanted, gradients = textbook(heads, spans, 0.2, gradient.view_as(heads.queries))
    assert lost(output.view_as(wanted), wanted) < 1.5 * ROUNDED
    for ours, theirs in zip(found, gradients, strict=True):
        assert lost(ours, theirs) < 2 * ROUNDED
