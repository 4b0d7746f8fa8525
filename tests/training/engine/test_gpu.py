"""The engine on a CUDA device computes what it computes on a CPU, in fp32 and in bf16, asked for kernel
by kernel or replayed."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field knows

from tests.training.engine.models import (
    CONFIGS,
    difference,
    make_model,
    make_row,
    make_rows,
    reference,
    taken,
)
from training.data.rendering import Row
from training.engine import flash
from training.engine.choice import choose
from training.engine.engine import Engine
from training.engine.flash import Segments
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.graphs import SMALL, Graphs
from training.engine.head import Head
from training.engine.heads import Heads
from training.engine.lanes import Lanes
from training.engine.packs import make_pack
from training.engine.reading import head_of, read
from training.engine.trainable import TrainableWeights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CUDA = torch.device("cuda")


@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_those_of_the_cpu(name: str) -> None:
    rows, found = make_rows(40, 23, 61, 9), []
    for device in ("cpu", "cuda"):
        model = make_model(name).to(device)
        choice = choose(model, rows, torch.device(device))
        gradients = Gradients()
        pack = make_pack(rows, device)
        sums = choice.computes.backward(pack, share=0.01, seed=1, gradients=gradients)
        found.append((choice.path, sums.loss, taken(model, gradients).cpu()))
    (path, loss, gradient), (gpu_path, gpu_loss, gpu_gradient) = found
    assert gpu_path is path
    assert gpu_loss == pytest.approx(loss, rel=1e-5)
    assert difference(gpu_gradient, gradient) <= 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_in_bf16_every_way_is_the_librarys_in_fp32(name: str) -> None:
    rows = make_rows(40, 23, 61, 9)
    model = make_model(name)
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    half = make_model(name).to(CUDA, torch.bfloat16)
    choice = choose(half, rows, CUDA)
    ways = [choice.computes, GenericDecoder(half, head_of(half), packs=True)]
    for way in ways:
        gradients = Gradients()
        sums = way.backward(make_pack(rows, CUDA), share=share, seed=1, gradients=gradients)
        assert sums.loss == pytest.approx(loss, rel=0.01)
        assert difference(taken(half, gradients).cpu(), gradient) <= 0.05


@pytest.mark.parametrize("window", [None, 5])
def test_attention_by_kernels_is_that_of_the_textbook(window: int | None) -> None:
    torch.manual_seed(1)
    lengths = (300, 100, 20, 7)
    total = sum(lengths)
    wide = [torch.randn(total, count, 64, device=CUDA).bfloat16() for count in (4, 2, 2)]
    row = torch.repeat_interleave(torch.arange(4, device=CUDA), torch.tensor(lengths).to(CUDA))
    place = torch.arange(total, device=CUDA)
    seen = (row[:, None] == row[None]) & (place[:, None] >= place[None])
    if window is not None:
        seen &= place[:, None] - place[None] < window
    exact = [each.double().requires_grad_() for each in wide]
    keys, values = (each.repeat_interleave(2, dim=1) for each in exact[1:])
    scores = torch.einsum("qhd,khd->hqk", exact[0], keys) * 0.1
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    wanted = torch.einsum("hqk,khd->qhd", weights, values)
    by_output = torch.randn_like(wanted).bfloat16()
    derivatives = torch.autograd.grad(wanted, exact, by_output.double())
    borders = torch.tensor([0, 300, 400, 420, 427], dtype=torch.int32, device=CUDA)
    heads, segments = Heads(*wide), Segments(borders, 300, window)
    found, kept = flash.attend(heads, segments, 0.1)
    gradients = flash.attend_backward(by_output, heads, segments, scale=0.1, kept=kept)
    assert difference(found.double(), wanted) <= 0.01
    for ours, theirs in zip(gradients, derivatives, strict=True):
        assert difference(ours.double(), theirs) <= 0.01


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_heads_kernel_gives_the_librarys_loss_and_gradient(scale: float) -> None:
    torch.manual_seed(1)
    weight = torch.randn(5003, 64, device=CUDA).bfloat16()
    hidden = torch.randn(300, 64, device=CUDA).bfloat16().requires_grad_()
    targets = torch.randint(0, 5003, (300,), device=CUDA)
    logits = (hidden @ weight.t()).float() * scale
    loss = F.cross_entropy(logits, targets, reduction="sum")
    (wanted,) = torch.autograd.grad(loss * 0.1, hidden)
    with torch.no_grad():
        by_hidden, sums = Head(lambda: weight, scale=scale).backward(
            hidden, targets, share=0.1, gradients=Gradients()
        )
    assert sums.read() == (
        pytest.approx(loss.item(), rel=1e-4),
        int((logits.argmax(-1) == targets).sum()),
    )
    assert difference(by_hidden.float(), wanted.float()) <= 0.01


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral, window"])
def test_what_is_replayed_is_what_was_asked_for(name: str) -> None:
    model, decoder, share = _adapted(name), None, 0.01
    decoder = read(model)
    graphs, kept = Graphs(decoder), Gradients()
    for turn in range(4):
        rows = _rows(turn)
        pack = make_pack(rows, CUDA)
        gradients = Gradients()
        wanted = decoder.backward(pack, share=share, seed=turn, gradients=gradients)
        assert graphs.serve(pack.tokens)
        found = graphs.backward(pack, share=share, seed=turn, gradients=kept)
        assert found.loss == pytest.approx(wanted.loss, rel=2e-3)
        assert abs(found.correct - wanted.correct) <= 1
        assert difference(taken(model, kept), taken(model, gradients)) <= 0.02
    assert len(graphs._recorded) == 1
    assert not graphs._fails


def test_what_is_replayed_adds_to_what_is_there() -> None:
    model = _adapted("llama")
    graphs, kept, totals = Graphs(read(model)), Gradients(), []
    for _ in range(3):
        for turn in (0, 1):
            graphs.backward(make_pack(_rows(turn), CUDA), share=0.01, seed=0, gradients=kept)
        totals.append(taken(model, kept).clone())
    assert difference(totals[1], totals[0]) <= 1e-5
    assert torch.equal(totals[2], totals[1])


def test_a_replayed_pass_drops_what_its_seed_says() -> None:
    model = _adapted("llama", dropout=0.3)
    graphs, kept = Graphs(read(model)), Gradients()
    pack, found = make_pack(_rows(0), CUDA), []
    for seed in (1, 2, 1, 3, 2):
        graphs.backward(pack, share=0.01, seed=seed, gradients=kept)
        found.append(taken(model, kept).clone())
    assert difference(found[2], found[0]) <= 1e-5
    assert difference(found[4], found[1]) <= 1e-5
    assert difference(found[1], found[0]) > 0.05
    assert difference(found[3], found[2]) > 0.05


def test_an_engine_replays_small_packs_alone() -> None:
    model = _adapted("llama", positions=2 * SMALL)
    rows = [make_row(1, 40), make_row(2, 60), make_row(3, SMALL + 10)]
    choice = choose(model, rows, CUDA)
    engine = Engine(
        choice, TrainableWeights(model, torch.bfloat16), Lanes(1), budget=8192, device=CUDA
    )
    for packs in ([rows[:2]], [rows[2:]], [rows[:2]], [rows[:2]]):
        found = engine.backward([make_pack(each, CUDA) for each in packs], share=0.01, seeds=[1])
        assert found.tokens == sum(row.trained_tokens for each in packs for row in each)
        engine.discard()
    assert engine._graphs is not None
    assert len(engine._graphs._recorded) == 1


def _adapted(name: str, *, dropout: float = 0.0, positions: int = 256) -> torch.nn.Module:
    """A model in bf16 with adapters, none of whose matrices is zero."""
    base = make_model(name, max_position_embeddings=positions).to(torch.bfloat16)
    options = {"r": 4, "lora_alpha": 8, "lora_dropout": dropout, "target_modules": "all-linear"}
    adapted = get_peft_model(base, LoraConfig(**options, task_type="CAUSAL_LM"))
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    return adapted.to(CUDA, torch.bfloat16).get_base_model()


def _rows(turn: int) -> list[Row]:
    """Rows of a step; those of any two have the same shape once they are padded."""
    lengths: Tensor = torch.tensor([50, 33, 71, 19]) - turn
    return [make_row(10 * turn + line, int(length)) for line, length in enumerate(lengths)]
