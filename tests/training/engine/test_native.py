"""The compiled kernels compute what torch does, in every size, and are not needed."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from tests.training.engine.models import (
    difference,
    make_model,
    make_rows,
    reference,
    taken,
)
from training.engine.choice import choose
from training.engine.gradients import Gradients
from training.engine.native import kernels
from training.engine.native.library import library
from training.engine.packs import make_pack
from training.events import ComputePath

TYPES = [torch.float32, torch.bfloat16]
WIDTHS = [1, 15, 16, 17, 64, 576]


def near(found: Tensor, wanted: Tensor) -> bool:
    """Whether numbers are the wanted ones, but for one rounding to their type."""
    bound = 2e-6 if found.dtype is torch.float32 else 2**-8
    return torch.allclose(found.double(), wanted.double(), rtol=bound, atol=bound / 100)


def drawn(*shape: int, dtype: torch.dtype, spread: float = 1.0) -> Tensor:
    return (torch.randn(*shape) * spread).to(dtype)


@pytest.fixture(autouse=True)
def _compiled(request: pytest.FixtureRequest) -> None:
    torch.manual_seed(1)
    if library().kernels is None and "uncompiled" not in request.fixturenames:
        pytest.skip(f"nothing is compiled here: {library().reason}")


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process on a machine without a compiler."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_gate_and_its_derivative(width: int, dtype: torch.dtype) -> None:
    gate, up, by = (drawn(3, width, dtype=dtype, spread=4) for _ in range(3))
    wide = [each.double().requires_grad_() for each in (gate, up)]
    wanted = F.silu(wide[0]) * wide[1]
    assert near(kernels.gated(gate, up), wanted)
    wanted.backward(by.double())
    for found, exact in zip(kernels.gated_backward_(by, gate, up), wide, strict=True):
        assert exact.grad is not None
        assert near(found, exact.grad)


def test_a_gate_lets_through_what_is_no_number() -> None:
    gate = torch.tensor([float("nan"), float("inf"), 1e30, -1e30])
    nan, infinite, large, negative = kernels.gated(gate, torch.ones(4)).tolist()
    assert nan != nan
    assert (infinite, large) == (float("inf"), pytest.approx(1e30))
    assert abs(negative) < 1e-6


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_norm_and_its_derivatives(width: int, dtype: torch.dtype) -> None:
    inputs, by = drawn(5, width, dtype=dtype), drawn(5, width, dtype=dtype)
    weight = drawn(width, dtype=dtype)
    wide, wide_weight = (each.double().requires_grad_() for each in (inputs, weight))
    wanted = F.rms_norm(wide, (width,), wide_weight, 1e-5)
    wanted.backward(by.double())
    out, factor = kernels.normalised(inputs, weight, 1e-5)
    bound = 2e-6 if dtype is torch.float32 else 2**-7  # it is rounded before the weight, too
    assert torch.allclose(out.double(), wanted, rtol=bound, atol=1e-7)
    assert torch.equal(kernels.normalised_again(inputs, factor, weight), out)
    by_weight = kernels.normalised_weight_backward(by, inputs, factor)
    assert wide.grad is not None
    assert wide_weight.grad is not None
    assert torch.allclose(by_weight.double(), wide_weight.grad, rtol=1e-5, atol=1e-5)
    found = kernels.normalised_backward_(by, inputs, factor, weight)
    scale = max(float(wide.grad.abs().max()), 1.0)
    bound = 1e-5 if dtype is torch.float32 else 2**-8
    assert float((found.double() - wide.grad).abs().max()) <= bound * scale


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("half", [4, 16, 20, 32])
def test_heads_are_turned(half: int, dtype: torch.dtype) -> None:
    heads = drawn(7, 3, 2 * half, dtype=dtype)
    angles = torch.rand(7, 1, half) * 6
    cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)
    first, second = heads.double().chunk(2, dim=-1)
    c, s = cosines.double(), sines.double()
    kernels.turn_(heads, cosines, sines)
    wanted = torch.cat([first * c - second * s, second * c + first * s], dim=-1)
    bound = 1e-6 if dtype is torch.float32 else 2**-7
    assert torch.allclose(heads.double(), wanted, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("length", "window"), [(1, None), (17, None), (40, 5), (40, 16), (64, 64)])
def test_causal_softmax_and_its_derivative(
    length: int, window: int | None, dtype: torch.dtype
) -> None:
    scores, by = (drawn(3, length, length, dtype=dtype, spread=3) for _ in range(2))
    place = torch.arange(length)
    apart = place[:, None] - place[None]
    seen = (apart >= 0) & (apart < (window or length))
    wanted = scores.double().masked_fill(~seen, -torch.inf).softmax(-1)
    found = kernels.causal_softmax_(scores, window)
    assert near(found, wanted)
    assert not found[:, ~seen].any()
    probabilities = found.double()  # the derivative is that at the rounded ones
    along = (probabilities * by.double()).sum(-1, keepdim=True)
    derivative = 0.3 * probabilities * (by.double() - along)
    turned = kernels.causal_softmax_backward_(by, found, window, 0.3)
    assert float((turned.double() - derivative).abs().max()) <= (
        1e-6 if dtype is torch.float32 else 2**-8 * float(derivative.abs().max())
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("vocabulary", [2, 50, 64, 1001])
def test_cross_entropy_and_its_gradient(vocabulary: int, dtype: torch.dtype) -> None:
    logits = drawn(9, vocabulary, dtype=dtype, spread=5)
    logits[0, 1] = logits[0].max()  # two are the likeliest: the first one counts
    targets = torch.randint(0, vocabulary, (9,))
    targets[0] = logits[0].argmax()
    wide = logits.double().requires_grad_()
    wanted = F.cross_entropy(wide * 0.5, targets, reduction="none")
    likeliest = logits.argmax(-1)
    losses, hits = kernels.cross_entropy_(logits, targets, factor=0.25, scale=0.5)
    assert torch.allclose(losses.double(), wanted, rtol=1e-5, atol=1e-5)
    assert hits.bool().tolist() == (likeliest == targets).tolist()
    wanted.sum().backward()
    assert wide.grad is not None
    assert near(logits, wide.grad / 0.5 * 0.25)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_told(value: float) -> None:
    logits = torch.zeros(2, 40)
    logits[0, 3] = value
    losses, _ = kernels.cross_entropy_(logits, torch.tensor([5, 5]), factor=1.0, scale=1.0)
    assert losses.isfinite().tolist() == [False, True]


def test_tensors_with_gaps_are_refused() -> None:
    gate = torch.randn(8, 8).t()
    with pytest.raises(ValueError, match="gated takes tensors without gaps"):
        kernels.gated(gate, torch.randn(8, 8))


def test_threads_share_the_rows_and_change_no_bit() -> None:
    inputs, weight = torch.randn(50, 64), torch.randn(64)
    alone, _ = kernels.normalised(inputs, weight, 1e-6)
    torch.set_num_threads(2)
    try:
        assert torch.equal(kernels.normalised(inputs, weight, 1e-6)[0], alone)
    finally:
        torch.set_num_threads(1)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", ["llama, biases", "qwen3", "mistral, window"])
def test_without_a_compiler_torch_computes_the_same(name: str) -> None:
    model, rows = make_model(name), make_rows(40, 23, 61, 9, 24, 2)
    choice = choose(model, rows, torch.device("cpu"))
    assert choice.path is ComputePath.FUSED
    assert choice.reasons == (
        "FUSED has no kernels of its own: no-such-compiler, which CXX names, is not there; "
        "install one, such as Debian's g++",
    )
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    sums = choice.computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert sums.loss == pytest.approx(loss, rel=1e-6)
    assert difference(taken(model, gradients), gradient) <= 1e-6


def test_what_was_compiled_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\necho called >> {calls}\nexec c++ -O0 "$@"\n')
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library.cache_clear()
    assert library().kernels is not None
    compiled = calls.read_text()
    library.cache_clear()
    assert library().kernels is not None
    library.cache_clear()
    assert calls.read_text() == compiled
    assert len(list((tmp_path / "cache/tunery/kernels").iterdir())) == 1


@pytest.mark.usefixtures("uncompiled")
def test_a_compiler_that_fails_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'unknown option -march=native' >&2\nexit 1\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library.cache_clear()
    found = library()
    library.cache_clear()
    assert found == (None, f"{compiler} failed: unknown option -march=native", False)
    assert not list((tmp_path / "cache/tunery/kernels").iterdir())
