"""What is computed packed, chunked and by hand is what the library computes of each row alone."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from tests.training.engine.models import (
    CONFIGS,
    difference,
    make_model,
    make_row,
    make_rows,
    reference,
    taken,
)
from training.data.rendering import IGNORED
from training.engine.choice import choose
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.lanes import Lanes
from training.engine.packs import Pack, make_pack
from training.engine.reading import head_of, read
from training.events import ComputePath

CPU = torch.device("cpu")
FUSED = ("llama", "llama, biases", "llama, scaled angles", "qwen2", "qwen3", "mistral, window")


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_is_unpacked_in_loss_and_gradients(name: str) -> None:
    model, rows = make_model(name), make_rows(40, 23, 61, 9, 24, 2)
    choice = choose(model, rows, CPU)
    assert choice.path is (ComputePath.FUSED if name in FUSED else ComputePath.PACKED)
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    sums = choice.computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert sums.loss == pytest.approx(loss, rel=1e-6)
    assert choice.computes.score(make_pack(rows)) == (pytest.approx(loss, rel=1e-6), sums.correct)
    assert difference(taken(model, gradients), gradient) <= 1e-6


@pytest.mark.parametrize("name", ["qwen3", "gemma2, window and caps", "gpt2"])
def test_padded_is_unpacked_in_loss_and_gradients(name: str) -> None:
    model, rows = make_model(name), make_rows(40, 23, 9)
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    for head in (head_of(model), None):
        padded, gradients = GenericDecoder(model, head, packs=False), Gradients()
        sums = padded.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
        assert sums.loss == pytest.approx(loss, rel=1e-6)
        assert padded.score(make_pack(rows)).loss == pytest.approx(loss, rel=1e-6)
        assert difference(taken(model, gradients), gradient) <= 1e-6


def adapted(name: str, *, dropout: float = 0.0, **options: object) -> PreTrainedModel:
    """A model with adapters whose second matrix is not zero, as it is at the start of a run."""
    torch.manual_seed(3)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=8,
        lora_alpha=16,
        lora_dropout=dropout,
        target_modules="all-linear",
        fan_in_fan_out=name == "gpt2",
        **options,
    )
    model = get_peft_model(make_model(name), lora)
    for each in model.parameters():
        if each.requires_grad:
            torch.nn.init.normal_(each, std=0.05)
    base = model.get_base_model()
    assert isinstance(base, PreTrainedModel)
    return base


@pytest.mark.parametrize("name", ["llama, biases", "qwen3", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_adapters_get_the_gradients_of_the_library(name: str, options: dict[str, bool]) -> None:
    model, rows = adapted(name, **options), make_rows(40, 23, 9)
    choice = choose(model, rows, CPU)
    fused = name in FUSED and "use_dora" not in options
    assert choice.path is (ComputePath.FUSED if fused else ComputePath.PACKED)
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    sums = choice.computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert sums.loss == pytest.approx(loss, rel=1e-6)
    assert difference(taken(model, gradients), gradient) <= 2e-6


def test_only_some_modules_adapted_is_exact_too() -> None:
    torch.manual_seed(3)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(make_model("llama"), lora).get_base_model()
    for each in model.parameters():
        if each.requires_grad:
            torch.nn.init.normal_(each, std=0.05)
    rows = make_rows(30, 12)
    _, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    read(model).backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert difference(taken(model, gradients), gradient) <= 1e-6


def test_frozen_layers_below_get_no_gradient_and_change_none_above() -> None:
    model, rows = make_model("qwen2"), make_rows(30, 12)
    for name, each in model.named_parameters():
        each.requires_grad_("layers.1." in name)
    _, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    read(model).backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert difference(taken(model, gradients), gradient) <= 1e-6
    frozen = [each for each in model.parameters() if not each.requires_grad]
    assert [gradients.take(each) for each in frozen] == [None] * len(frozen)


@pytest.mark.parametrize("name", CONFIGS)
def test_changing_one_row_of_a_pack_changes_nothing_in_another(name: str) -> None:
    model = make_model(name)
    computes = choose(model, make_rows(40, 30), CPU).computes
    kept = make_row(1, 30)
    first, second = (computes.hidden(make_pack([kept, make_row(line, 40)]))[40:] for line in (2, 3))
    assert torch.equal(first, second)
    other = computes.hidden(make_pack([kept, make_row(2, 40)]))[:40]
    assert not torch.equal(other, computes.hidden(make_pack([kept, make_row(3, 40)]))[:40])


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_loss_of_a_row_does_not_depend_on_its_company(name: str) -> None:
    model, rows = make_model(name), make_rows(40, 23, 61, 9)
    computes = choose(model, rows, CPU).computes
    together = computes.score(make_pack(rows)).loss
    alone = sum(computes.score(make_pack([row])).loss for row in rows)
    assert together == pytest.approx(alone, rel=1e-6)


def test_each_position_predicts_the_next_token_and_padding_bears_no_loss() -> None:
    first, second = make_row(1, 6), make_row(2, 4)
    pack = make_pack([second, first])
    assert pack.lengths == (6, 4)
    assert pack.input_ids.tolist() == first.input_ids + second.input_ids
    assert pack.position_ids.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert pack.positions.tolist() == [2, 3, 4, 7, 8]
    assert pack.targets.tolist() == first.input_ids[3:] + second.input_ids[2:]


def test_a_token_that_is_padding_and_stop_at_once_is_trained() -> None:
    stop = 0
    ended = [make_row(n, 8 + n)._replace(labels=[IGNORED] * (7 + n) + [stop]) for n in range(2)]
    rows = [row._replace(input_ids=[*row.input_ids[:-1], stop]) for row in ended]
    assert make_pack(rows).targets.tolist() == [stop, stop]
    model = make_model("gpt2")
    padded = GenericDecoder(model, head_of(model), packs=False)
    loss, _ = reference(model, rows)
    assert padded.score(make_pack(rows)).loss == pytest.approx(loss, rel=1e-6)


def summed_over_packs(model: PreTrainedModel, packs: list[Pack]) -> torch.Tensor:
    decoder, gradients = read(model), Gradients()
    share = 1 / sum(len(pack.targets) for pack in packs)
    for pack in packs:
        decoder.backward(pack, share=share, seed=1, gradients=gradients)
    return taken(model, gradients)


def test_accumulating_eight_by_one_is_two_by_four() -> None:
    model, rows = make_model("qwen2"), make_rows(5, 40, 9, 17, 33, 8, 21, 12)
    ones = summed_over_packs(model, [make_pack([row]) for row in rows])
    fours = summed_over_packs(model, [make_pack(rows[:4]), make_pack(rows[4:])])
    whole = summed_over_packs(model, [make_pack(rows)])
    assert difference(ones, fours) <= 1e-6
    assert difference(ones, whole) <= 1e-6
    assert ones.abs().max() > 1e-3


def test_tied_weights_get_both_their_gradients() -> None:
    model, rows = make_model("llama"), make_rows(30, 12)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    _, tied = reference(model, rows)
    gradients = Gradients()
    share = 1 / sum(row.trained_tokens for row in rows)
    read(model).backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    found = gradients.take(model.lm_head.weight)
    assert found is not None
    wanted = tied[: found.numel()].view_as(found)
    assert difference(found, wanted) <= 1e-6
    asked = {token for row in rows for token in row.input_ids}
    unasked = [token for token in range(len(found)) if token not in asked]
    assert found[unasked].abs().max() > 0  # what the head alone gives


def test_in_bf16_it_is_as_near_as_the_library_itself() -> None:
    rows = make_rows(60, 30)
    exact, wanted = reference(make_model("qwen2"), rows)
    half = make_model("qwen2").to(torch.bfloat16)
    theirs, their_gradient = reference(half, rows)
    gradients = Gradients()
    share = 1 / sum(row.trained_tokens for row in rows)
    sums = read(half).backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    ours = difference(taken(half, gradients), wanted)
    assert ours <= 1.1 * difference(their_gradient.float(), wanted)
    assert abs(sums.loss - exact) <= max(abs(theirs - exact), 2e-3 * exact)


@pytest.mark.parametrize("name", ["llama, biases", "qwen3"])
def test_reordered_weights_change_nothing(name: str) -> None:
    model, rows = adapted(name).to(torch.bfloat16), make_rows(40, 23)
    plain = read(model)
    lanes = Lanes(2, threads=1)
    faster = plain.with_reordered_weights(2**30, lanes)
    lanes.close()
    assert len(faster.reordered) == 2
    found = []
    for decoder in (plain, faster):
        gradients = Gradients()
        sums = decoder.backward(make_pack(rows), share=0.1, seed=1, gradients=gradients)
        found.append((sums, decoder.score(make_pack(rows)), taken(model, gradients)))
    (sums, scored, gradient), (fast_sums, fast_scored, fast_gradient) = found
    assert fast_sums.loss == pytest.approx(sums.loss, rel=2e-3)
    assert fast_scored.loss == pytest.approx(scored.loss, rel=2e-3)
    assert difference(fast_gradient, gradient) <= 0.02  # bf16 sums, in another order


def test_weights_are_reordered_only_where_memory_is_to_spare_and_they_are_frozen() -> None:
    model = adapted("llama").to(torch.bfloat16)
    decoder = read(model)
    assert decoder.with_reordered_weights(1000, Lanes(1)) is decoder
    whole = read(make_model("llama").to(torch.bfloat16))
    assert whole.with_reordered_weights(2**30, Lanes(1)) is whole
    exact = read(adapted("llama"))
    assert exact.with_reordered_weights(2**30, Lanes(1)) is exact
