"""AdamW by kernels of our own beside torch's, and beside the formula in fp64."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from training.engine.native.adamw import Settings, Table, Weight, serves
from training.engine.native.library import library

pytestmark = pytest.mark.skipif(
    library().kernels is None, reason=f"no kernels here: {library().reason}"
)

SHAPES = ((1,), (3, 5), (16,), (17,), (20, 64), (8195,), (130, 127), (2, 8192))
"""Fewer elements than the kernel takes at once, as many, and some over; and more than a piece has."""
RATE, BETAS, EPSILON, CLIP = 1e-3, (0.9, 0.999), 1e-8, 0.7
SETTINGS = Settings(RATE, *BETAS, EPSILON)


def weights(*, parts: int = 1, computed: str = "narrow") -> list[Weight]:
    drawn = torch.Generator().manual_seed(0)
    found = []
    for place, shape in enumerate(SHAPES):
        master = torch.randn(shape, generator=drawn)
        copies = {"narrow": master.bfloat16(), "wide": master.clone(), "master": master}
        found.append(
            Weight(
                master,
                torch.zeros(shape),
                torch.zeros(shape),
                step=torch.zeros(()),
                computed=copies[computed],
                gradients=[torch.empty(shape) for _ in range(parts)],
                decay=0.1 * (place % 2),
            )
        )
    return found


def draw_gradients(of: list[Weight], seed: int, scale: float = 1.0) -> None:
    drawn = torch.Generator().manual_seed(seed)
    for weight in of:
        for part in weight.gradients:
            part.copy_(torch.randn(part.shape, generator=drawn) * scale)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def largest_distance(found: Tensor, wanted: Tensor) -> float:
    """The largest distance of two elements, in roundings of the largest one: half units of its last place."""
    wide = wanted.detach().double()
    return float((found.double() - wide).abs().max() / wide.abs().max()) * 2**24


def test_fifty_steps_are_those_of_torch() -> None:
    ours = weights()
    theirs = [Parameter(each.master.clone()) for each in ours]
    groups = [
        {"params": [each], "weight_decay": weight.decay}
        for each, weight in zip(theirs, ours, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, fused=True)
    table = Table(ours)
    for step in range(50):
        draw_gradients(ours, step, scale=10.0 ** (step % 7 - 5))
        for each, weight in zip(theirs, ours, strict=True):
            each.grad = weight.gradients[0] * CLIP
        optimizer.step()
        table.move(SETTINGS, clip=CLIP)
    for each, weight in zip(theirs, ours, strict=True):
        state = optimizer.state[each]
        assert weight.step == state["step"] == 50
        assert largest_distance(weight.average, state["exp_avg"]) <= 16
        assert largest_distance(weight.square, state["exp_avg_sq"]) <= 16
        assert largest_distance(weight.master, each) <= 16
        assert torch.equal(weight.computed, weight.master.bfloat16())


def test_a_step_is_that_of_the_formula() -> None:
    ours = weights()
    draw_gradients(ours, 1)
    for each in ours:
        each.average.normal_()
        each.square.uniform_(0.1, 1)
        each.step.fill_(4)
    wanted = list(map(moved_in_fp64, ours))
    Table(ours).move(SETTINGS, clip=CLIP)
    for weight, tensors in zip(ours, wanted, strict=True):
        assert weight.step == 5
        for found, exact in zip(weight[:3], tensors, strict=True):
            assert largest_distance(found, exact) <= 2


def moved_in_fp64(weight: Weight) -> tuple[Tensor, Tensor, Tensor]:
    master, old_average, old_square = (each.double() for each in weight[:3])
    slope, step = weight.gradients[0].double() * CLIP, int(weight.step) + 1
    average = BETAS[0] * old_average + (1 - BETAS[0]) * slope
    square = BETAS[1] * old_square + (1 - BETAS[1]) * slope**2
    root = (square / (1 - BETAS[1] ** step)).sqrt() + EPSILON
    way = average / (1 - BETAS[0] ** step) / root
    return master * (1 - RATE * weight.decay) - RATE * way, average, square


@pytest.mark.parametrize("computed", ["wide", "master"])
def test_what_the_model_computes_with_is_written_whatever_it_is(computed: str) -> None:
    wanted, found = weights(), weights(computed=computed)
    for each in (wanted, found):
        draw_gradients(each, 1)
        Table(each).move(SETTINGS, clip=1.0)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours.computed, theirs.master)
        assert torch.equal(ours.master, theirs.master)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_are_added_up_as_they_would_be_one_after_the_other(parts: int) -> None:
    ours = weights(parts=parts)
    draw_gradients(ours, 1)
    ours[2] = ours[2]._replace(gradients=ours[2].gradients[:1])  # one that a single lane has
    before = [[part.clone() for part in each.gradients] for each in ours]
    norm = Table(ours).add_up()
    totals = [sum(each[1:], start=each[0]) for each in before]
    for weight, each, total in zip(ours, before, totals, strict=True):
        assert torch.equal(weight.gradients[0], total)
        assert all(map(torch.equal, weight.gradients[1:], each[1:]))
    exact = math.sqrt(sum(float(each.double().square().sum()) for each in totals))
    assert norm == torch.tensor(exact, dtype=torch.float64).float().item()


def test_any_number_of_threads_gives_the_same_bits() -> None:
    found = []
    for count in (1, 2, 3):
        ours = weights(parts=2)
        draw_gradients(ours, 1)
        table = Table(ours)
        with threads(count):
            norm = table.add_up()
            table.move(SETTINGS, clip=CLIP)
        moved = torch.cat([part.flatten() for each in ours for part in each[:3]])
        found.append((norm, moved))
    (norm, moved), *others = found
    assert all(each == norm and torch.equal(ours, moved) for each, ours in others)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_norm_neither_vanishes_nor_overflows_with_its_squares(scale: float) -> None:
    ours = weights()
    for each in ours:
        each.gradients[0].fill_(scale)
    count = sum(math.prod(shape) for shape in SHAPES)
    assert Table(ours).add_up() == pytest.approx(scale * math.sqrt(count), rel=1e-6)


@pytest.mark.parametrize("place", [0, 15, 16, 8191, 8194])
def test_a_gradient_that_is_no_number_is_told_by_the_norm(place: int) -> None:
    ours = weights(parts=2)
    draw_gradients(ours, 1)
    ours[5].gradients[1][place] = math.inf
    assert Table(ours).add_up() == math.inf
    ours[5].gradients[1][place] = math.nan
    assert math.isnan(Table(ours).add_up())


@pytest.mark.parametrize(
    "spoilt",
    [
        {"master": torch.zeros(5, 3).t()},
        {"average": torch.zeros(3, 5, dtype=torch.float64)},
        {"square": torch.zeros(3, 4)},
        {"step": torch.zeros((), dtype=torch.int64)},
        {"computed": torch.zeros(3, 5, dtype=torch.float16)},
        {"computed": torch.zeros(3, 10, dtype=torch.bfloat16)[:, ::2]},
        {"gradients": [torch.zeros(3, 5), torch.zeros(5)]},
    ],
)
def test_tensors_are_never_misread(spoilt: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"in fp32, without gaps|equally many elements"):
        Table([weights()[1]._replace(**spoilt)])


def test_weights_elsewhere_are_not_served() -> None:
    here, narrow = torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)
    assert serves([here], [narrow])
    assert not serves([here], [narrow.half()])
    assert not serves([narrow], [narrow])
    assert not serves([here.to("meta")], [narrow])
