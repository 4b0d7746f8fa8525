"""Adapters by kernels of our own: exact where numbers are whole, and what torch computes otherwise."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.training.engine.models import difference
from training.engine.dropout import Dropout
from training.engine.fan import Fan
from training.engine.gradients import Gradients
from training.engine.matrices import Plain
from training.engine.native.adapters import AdaptersByKernels
from training.engine.native.library import Library, library
from training.engine.projection import Adapter, Kept, Projection

needs_kernels = pytest.mark.skipif(
    not library().multiplies_pairs, reason="this processor does not multiply in bf16"
)

SHAPES = [
    # tokens, width of the input, and of each adapter its rank and the width of its output
    (1, 2, [(1, 1)]),
    (1, 33, [(16, 65)]),
    (13, 100, [(8, 64)]),
    (31, 64, [(64, 48)]),
    (45, 97, [(20, 131), (3, 1), (1, 40)]),
    (30, 36, [(16, 70), (16, 20), (16, 20)]),
    (15, 48, [(20, 40), (20, 24), (20, 50), (20, 8)]),
]


class Case(NamedTuple):
    """Whole numbers, so small that no sum of their products is rounded in fp32."""

    adapters: list[Adapter]
    inputs: Tensor
    outputs: list[Tensor]
    gradient: list[Tensor]
    total: Tensor
    mask: Tensor | None


def whole(*shape: int) -> Tensor:
    return torch.randint(-1, 2, shape).to(torch.bfloat16)


def make_case(
    tokens: int, width: int, sizes: Sequence[tuple[int, int]], *, drops: bool = False
) -> Case:
    torch.manual_seed(tokens)
    return Case(
        [
            Adapter(Parameter(whole(rank, width)), Parameter(whole(out, rank)), 2.0 ** (place % 2))
            for place, (rank, out) in enumerate(sizes)
        ],
        whole(tokens, width),
        [whole(tokens, out) for _, out in sizes],
        [whole(tokens, out) for _, out in sizes],
        whole(tokens, width),
        -torch.randint(0, 2, (tokens, width), dtype=torch.int16) if drops else None,
    )


def rounded(exact: Tensor) -> Tensor:
    return exact.to(torch.bfloat16).double()


def passed(case: Case, gradients: Gradients) -> tuple[list[Tensor], Tensor]:
    """The outputs and the gradient of the inputs, by kernels."""
    outputs, total = [each.clone() for each in case.outputs], case.total.clone()
    kernels = AdaptersByKernels(case.adapters)
    with torch.no_grad():
        low = kernels.forward_(outputs, case.inputs, mask=case.mask, boost=2.0)
        kept = Kept(case.mask, 2.0, low)
        kernels.backward_(total, case.gradient, inputs=case.inputs, kept=kept, gradients=gradients)
    return outputs, total


@needs_kernels
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize(("tokens", "width", "sizes"), SHAPES)
def test_products_are_exact_and_rounded_once(
    tokens: int, width: int, sizes: list[tuple[int, int]], drops: bool
) -> None:
    case = make_case(tokens, width, sizes, drops=drops)
    gradients = Gradients()
    outputs, total = passed(case, gradients)
    passed(case, gradients)  # the sums hold both
    mask = torch.ones(1, dtype=torch.float64) if case.mask is None else -case.mask.double()
    inputs, wanted_total = case.inputs.double() * mask, case.total.double()
    for adapter, before, found, by in zip(
        case.adapters, case.outputs, outputs, case.gradient, strict=True
    ):
        down, up = adapter.down.detach().double(), adapter.up.detach().double()
        low = rounded(2 * adapter.scaling * inputs @ down.t())
        inner = rounded(2 * adapter.scaling * by.double() @ up)
        assert torch.equal(found.double(), rounded(before.double() + low @ up.t()))
        sums = gradients.take(adapter.down), gradients.take(adapter.up)
        for one, wanted in zip(sums, (inner.t() @ inputs, by.double().t() @ low), strict=True):
            assert one is not None
            assert one.dtype is torch.float32
            assert torch.equal(one.double(), 2 * wanted)
        wanted_total += inner @ down * mask
    assert torch.equal(total.double(), rounded(wanted_total))


@needs_kernels
def test_threads_share_the_work_without_a_trace() -> None:
    case = make_case(45, 97, [(20, 131), (3, 1)])
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            gradients = Gradients()
            outputs, total = passed(case, gradients)
            sums = [gradients.take(each) for one in case.adapters for each in (one.down, one.up)]
            found.append([*outputs, total, *(each for each in sums if each is not None)])
    finally:
        torch.set_num_threads(before)
    assert len(found[0]) == 7
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@needs_kernels
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_reaches_its_token_and_the_gradients_alone(value: float) -> None:
    case = make_case(20, 64, [(16, 48)])
    case.inputs[7, 5] = value
    case.adapters[0].down.data[:, 5] = 1.0
    case.adapters[0].up.data[:, 0] = 1.0
    gradients = Gradients()
    outputs, _ = passed(case, gradients)
    finite = outputs[0].isfinite()
    assert not finite[7].any()
    assert finite[[place for place in range(20) if place != 7]].all()
    by_down = gradients.take(case.adapters[0].down)
    assert by_down is not None
    assert not by_down[:, 5].isfinite().all()
    assert by_down[:, torch.arange(64) != 5].isfinite().all()


@needs_kernels
def test_gradients_with_gaps_are_taken_and_outputs_with_gaps_are_refused() -> None:
    case = make_case(9, 32, [(16, 40), (16, 40)])
    wanted = passed(case, Gradients())[1]
    together = torch.cat(case.gradient, dim=1)
    apart = case._replace(gradient=list(torch.split(together, 40, dim=1)))
    assert not apart.gradient[0].is_contiguous()
    assert torch.equal(passed(apart, Gradients())[1], wanted)
    with pytest.raises(ValueError, match="without gaps"), torch.no_grad():
        AdaptersByKernels(case.adapters).forward_(apart.gradient, case.inputs, mask=None, boost=1.0)


@needs_kernels
def test_a_dry_run_holds_the_same_and_computes_nothing() -> None:
    case = make_case(9, 32, [(3, 40), (16, 8)])
    dry = Case(
        [
            Adapter(Parameter(down.to("meta")), Parameter(up.to("meta")), scaling)
            for down, up, scaling in case.adapters
        ],
        case.inputs.to("meta"),
        [each.to("meta") for each in case.outputs],
        [each.to("meta") for each in case.gradient],
        case.total.to("meta"),
        None,
    )
    assert AdaptersByKernels(dry.adapters).serve(dry.inputs)
    gradients = Gradients()
    outputs, total = passed(dry, gradients)
    assert [each.shape for each in outputs] == [each.shape for each in case.outputs]
    assert total.is_meta
    sums = [gradients.take(each) for one in dry.adapters for each in (one.down, one.up)]
    assert [each.shape for each in sums if each is not None] == [
        (3, 32),
        (40, 3),
        (16, 32),
        (8, 16),
    ]


@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_fan_computes_the_same_without_kernels(
    dtype: torch.dtype, probability: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    projections = []
    for out in (40, 24):
        weight, down = torch.randn(out, 48, dtype=dtype) / 7, torch.randn(20, 48, dtype=dtype) / 7
        adapter = Adapter(Parameter(down), Parameter(torch.randn(out, 20, dtype=dtype) / 5), 0.5)
        projections.append(Projection(Plain(weight.clone), None, None, None, adapter))
    adapters = [each.adapter for each in projections if each.adapter]
    inputs, gradient = (
        torch.randn(30, 48).to(dtype),
        [torch.randn(30, out).to(dtype) for out in (40, 24)],
    )

    def computed() -> list[Tensor | None]:
        fan = Fan(tuple(projections))
        dropout = Dropout(
            probability, seed=3, largest=inputs.numel(), dtype=dtype, device=inputs.device
        )
        gradients = Gradients()
        with torch.no_grad():
            outputs, kept = fan.forward(inputs, dropout)
            total = fan.backward(gradient, inputs, kept=kept, gradients=gradients)
        return [*outputs, total, *(gradients.take(each) for one in adapters for each in one[:2])]

    by_kernels = computed()
    monkeypatch.setattr(
        "training.engine.native.adapters.library",
        lambda: Library(None, "none", multiplies_pairs=False),
    )
    for one, other in zip(by_kernels, computed(), strict=True):
        assert one is not None
        assert other is not None
        assert difference(one, other) <= (0.01 if dtype is torch.bfloat16 else 0.0)
