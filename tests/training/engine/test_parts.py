"""The engine's parts: how packs are divided, what dropout drops, how lanes and sums behave."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

from tests.training.engine.models import difference, make_model, make_rows, reference, taken
from training.engine.attention import Heads, attend, attend_backward, make_groups
from training.engine.choice import choose
from training.engine.dropout import Dropout, masked
from training.engine.gradients import Gradients, summed
from training.engine.head import Head
from training.engine.lanes import Lanes, make_lanes
from training.engine.packs import divide, make_pack
from training.engine.trainable import TrainableWeights
from training.events import ComputePath

CPU = torch.device("cpu")


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60),
    budget=st.integers(50, 500),
    lanes=st.integers(1, 4),
)
def test_every_row_is_in_one_pack_and_none_is_over_budget(
    lengths: list[int], budget: int, lanes: int
) -> None:
    packs = divide(lengths, lengths, budget=budget, lanes=lanes)
    assert sorted(index for pack in packs for index in pack) == list(range(len(lengths)))
    assert all(packs)
    for pack in packs:
        assert sum(lengths[index] for index in pack) <= budget or len(pack) == 1
    assert len(packs) % lanes == 0 or len(packs) == len(lengths)


def test_packs_of_a_round_are_of_like_size() -> None:
    lengths = [170, 66, 66, 60, 60, 54, 54, 50]
    packs = divide(lengths, lengths, budget=512, lanes=2)
    assert [sum(lengths[index] for index in pack) for pack in packs] == [290, 290]


def test_packs_of_a_round_cost_alike_where_labels_cost_too() -> None:
    lengths = [100, 100, 100, 100]
    costs = [100, 160, 130, 100]
    packs = divide(lengths, costs, budget=512, lanes=2)
    assert [sum(costs[index] for index in pack) for pack in packs] == [260, 230]


@pytest.mark.parametrize("longest_by_products", [1024, 50])
@pytest.mark.parametrize("window", [None, 5])
def test_attention_and_its_derivative_are_those_of_the_textbook(
    window: int | None, longest_by_products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.engine.attention.LONG_ROW", longest_by_products)
    torch.manual_seed(1)
    lengths = (120, 100, 20, 7)
    total = sum(lengths)
    heads = Heads(
        torch.randn(total, 4, 8, dtype=torch.float64, requires_grad=True),
        torch.randn(total, 2, 8, dtype=torch.float64, requires_grad=True),
        torch.randn(total, 2, 8, dtype=torch.float64, requires_grad=True),
    )
    groups = make_groups(lengths, dtype=torch.float64, window=window)
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(total)
    seen = (row[:, None] == row[None]) & (place[:, None] >= place[None])
    if window is not None:
        seen &= place[:, None] - place[None] < window
    keys, values = (each.repeat_interleave(2, dim=1) for each in heads[1:])
    scores = torch.einsum("qhd,khd->hqk", heads.queries, keys) * 0.3
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    wanted = torch.einsum("hqk,khd->qhd", weights, values).reshape(total, -1)
    gradient = torch.randn_like(wanted)
    derivatives = torch.autograd.grad(wanted, heads, gradient)
    with torch.no_grad():
        found, kept = attend(heads, groups, 0.3)
        found_derivatives = attend_backward(gradient, heads, groups, scale=0.3, kept=kept)
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(found_derivatives, derivatives, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_heads_chunks_change_neither_loss_nor_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    weight, bias = Parameter(torch.randn(50, 8)), Parameter(torch.randn(50))
    hidden = torch.randn(70, 8, requires_grad=True)
    targets = torch.randint(0, 50, (70,))
    for scale, cap in ((1.0, None), (0.5, None), (1.0, 3.0)):
        logits = (hidden @ weight.t() + bias) * scale
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        wanted = torch.autograd.grad(loss * 0.1, (hidden, weight, bias))
        head = Head(lambda: weight, bias, weight, bias, scale, cap)
        for chunk_bytes in (
            5 * 4 * 50,
            16 * 4 * 50,
            2**20,
        ):  # in several groups, in one, in one chunk
            monkeypatch.setattr("training.engine.bounds.LOGITS_BYTES", chunk_bytes)
            monkeypatch.setattr("training.engine.bounds.LEAST_LOGITS_TOKENS", 1)
            gradients = Gradients()
            with torch.no_grad():
                by_hidden, sums = head.backward(hidden, targets, share=0.1, gradients=gradients)
                scored = head.score(hidden, targets)
            assert sums.loss == pytest.approx(loss.item(), rel=1e-6)
            assert scored == (pytest.approx(loss.item(), rel=1e-6), sums.correct)
            assert sums.correct == int((logits.argmax(-1) == targets).sum())
            found = (by_hidden, gradients.take(weight), gradients.take(bias))
            for ours, theirs in zip(found, wanted, strict=True):
                assert difference(ours, theirs) <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_makes_up_for_it(dtype: torch.dtype) -> None:
    like = torch.ones(400, 500, dtype=dtype)
    dropout = Dropout(0.1, seed=5, largest=like.numel(), dtype=dtype, device=CPU)
    first, second = (masked(like, dropout.mask(like)).float() for _ in range(2))
    for each in (first, second):
        assert set(each.unique().tolist()) == {0.0, 1.0}
        assert float(each.mean()) == pytest.approx(0.9, abs=0.005)
        assert float(each.mean()) * dropout.boost == pytest.approx(1.0, abs=0.005)
        assert each.mean(0).std() < 0.03  # no column is spared
    agreement = float((first == second).float().mean())
    assert agreement == pytest.approx(0.9**2 + 0.1**2, abs=0.01)  # as two that are independent


def test_the_same_seed_drops_the_same() -> None:
    like = torch.ones(30, 50)

    def mask(seed: int) -> torch.Tensor:
        drawn = Dropout(0.3, seed=seed, largest=1500, dtype=torch.float32, device=CPU).mask(like)
        assert drawn is not None
        return drawn

    assert torch.equal(mask(1), mask(1))
    assert not torch.equal(mask(1), mask(2))


def test_no_dropout_draws_nothing() -> None:
    dropout = Dropout(0.0, seed=1, largest=10, dtype=torch.float32, device=CPU)
    assert dropout.mask(torch.ones(10)) is None
    assert dropout.boost == 1.0


def test_lanes_work_at_the_same_time_and_answer_in_order() -> None:
    lanes = Lanes(2, threads=1)
    both = threading.Barrier(2, timeout=10)

    def work(place: int, item: str) -> tuple[int, str, int]:
        both.wait()
        return place, item, torch.get_num_threads()

    assert lanes.run(work, ["a", "b"]) == [(0, "a", 1), (1, "b", 1)]
    lanes.close()


def test_an_error_in_a_lane_is_raised_once_all_are_done() -> None:
    lanes = Lanes(2, threads=1)
    done = []

    def work(place: int, item: int) -> None:
        if place == 0:
            raise ValueError(item)
        done.append(item)

    with pytest.raises(ValueError, match="7"):
        lanes.run(work, [7, 8])
    assert done == [8]
    lanes.close()


def test_short_steps_get_few_lanes() -> None:
    assert make_lanes(100, threads=8).count == 1
    assert make_lanes(600, threads=2).count == 2
    assert make_lanes(600, threads=64).count == 4


def test_lanes_are_summed_in_their_order_in_fp32() -> None:
    weight = Parameter(torch.zeros(2, dtype=torch.bfloat16))
    lanes = [Gradients(), Gradients()]
    for value in (1.0, 2.0**-10):
        lanes[0].add(weight, torch.full((2,), value, dtype=torch.bfloat16))
    lanes[1].add(weight, torch.full((2,), 4.0, dtype=torch.bfloat16))
    (total,) = summed(lanes, [weight])
    assert total is not None
    assert total.tolist() == [5 + 2.0**-10] * 2
    assert summed(lanes, [weight]) == [None]


def test_masters_add_up_what_bf16_cannot_tell() -> None:
    model = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.ones_(model.weight)
    weights = TrainableWeights(model, torch.bfloat16)
    master = weights.masters["weight"]
    assert (model.weight.dtype, master.dtype) == (torch.bfloat16, torch.float32)
    for _ in range(100):
        with torch.no_grad():
            master.add_(1e-4)
        weights.publish()
    assert model.weight.float().mean().item() == pytest.approx(1.01, abs=0.005)
    assert master.mean().item() == pytest.approx(1.01, rel=1e-5)
    weights.install()
    assert torch.equal(model.weight, master)
    assert model.weight.dtype == torch.float32


def test_in_fp32_the_masters_are_the_parameters() -> None:
    model = torch.nn.Linear(4, 4)
    weights = TrainableWeights(model, torch.float32)
    assert weights.masters["weight"] is model.weight


def test_what_the_fast_way_cannot_do_is_said() -> None:
    dropping = choose(make_model("llama", attention_dropout=0.1), make_rows(9, 8), CPU)
    assert dropping.path is ComputePath.PACKED
    assert dropping.reasons == (
        "FUSED cannot compute it: its attention drops out at a rate of 0.1",
    )
    other = choose(make_model("gpt2"), make_rows(9, 8), CPU)
    assert other.reasons == ("FUSED cannot compute it: its layers are of the type gpt2",)


def test_layers_that_a_dry_run_left_out_are_trained_afterwards() -> None:
    model, rows = make_model("gpt2"), make_rows(20, 10)
    _, wanted = reference(model, rows)
    computes, gradients = choose(model, rows, CPU).computes, Gradients()
    share = 1 / sum(row.trained_tokens for row in rows)
    layers = model.transformer.h
    model.transformer.h = layers[:1]
    computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    model.transformer.h = layers
    gradients.clear()
    computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert difference(taken(model, gradients), wanted) <= 1e-6


def test_attention_dropout_is_a_function_of_the_seed() -> None:
    model, rows = make_model("llama", attention_dropout=0.5), make_rows(20, 10)
    computes = choose(model, rows, CPU).computes
    model.train()

    def gradient(seed: int) -> torch.Tensor:
        gradients = Gradients()
        computes.backward(make_pack(rows), share=0.1, seed=seed, gradients=gradients)
        return taken(model, gradients)

    assert torch.equal(gradient(1), gradient(1))
    assert not torch.equal(gradient(1), gradient(2))


def test_a_model_that_does_more_than_its_parts_is_computed_whole() -> None:
    model, rows = make_model("qwen2"), make_rows(20, 10)
    model.register_forward_hook(
        lambda _module, _inputs, output: (
            (output[0] * 1.5, *output[1:])
            if isinstance(output, tuple)
            else output | {"logits": output.logits * 1.5}
        )
    )
    choice = choose(model, rows, CPU)
    assert (choice.path, choice.whole_logits) == (ComputePath.PADDED, True)
    assert choice.reasons == ("its output head does more than it says",)


def test_a_layer_that_is_not_what_its_type_says_is_found_out() -> None:
    model, rows = make_model("qwen2"), make_rows(20, 10)
    model.model.layers[1].mlp.register_forward_hook(lambda _module, _inputs, output: output * 2)
    choice = choose(model, rows, CPU)
    assert choice.path is ComputePath.PACKED
    assert "FUSED would differ by" in choice.reasons[0]
    assert reference(model, rows)[0] > 0
