"""Bases in 4 bits: the same bits everywhere, unchanged by evaluation, and what they stand for."""

import bitsandbytes
import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from tests.tiny_model import make_architecture
from tests.training.engine.models import difference, make_rows, reference, taken
from training.config import TrainingType, resolve
from training.devices.hardware import Hardware
from training.engine.choice import choose
from training.engine.gradients import Gradients
from training.engine.packs import make_pack
from training.errors import BitsandbytesUnavailable
from training.events import ComputePath
from training.methods.adapters import causal_model, load_for_training, make_trainable
from training.methods.quantisation import (
    load_dequantised,
    load_quantised,
    quantised_layers,
    require_bitsandbytes,
)
from training.models.base_models import load_base
from training.models.modules import inputs_first, linear_parameters

CPU = Hardware(device="cpu", name="test", cores=1, bfloat16=True)
IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module", params=["qwen2", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Qwen2 has biases, and GPT-2 its weights the other way round."""
    return str(make_architecture(tmp_path_factory.mktemp("base") / "base", request.param))


@torch.no_grad()
def logits(model: torch.nn.Module) -> Tensor:
    found: Tensor = model.eval()(input_ids=IDS).logits.float()
    return found


def four_bits(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: each.detach().clone()
        for name, each in model.named_parameters()
        if each.dtype is torch.uint8
    }


def test_a_base_has_the_same_four_bits_whatever_it_computes_in(base: str) -> None:
    first, second = load_quantised(base, torch.float32), load_quantised(base, torch.bfloat16)
    bits = four_bits(first)
    assert bits
    assert all(torch.equal(bits[name], each) for name, each in four_bits(second).items())
    whole = {each.dtype for each in second.parameters() if each.is_floating_point()}
    assert whole == {torch.bfloat16}


def test_a_base_takes_double_quantised_nf4(base: str) -> None:
    for module in quantised_layers(load_quantised(base, torch.float32)).values():
        state = module.weight.quant_state
        assert (state.quant_type, state.nested, state.blocksize) == ("nf4", True, 64)


def test_a_dequantised_base_is_what_the_four_bits_stand_for(base: str) -> None:
    plain, original = load_dequantised(base), load_base(base, torch.float32)
    quantised = load_quantised(base, torch.float32)
    assert plain.state_dict().keys() == original.state_dict().keys()
    assert not hasattr(plain.config, "quantization_config")
    torch.testing.assert_close(logits(plain), logits(quantised), rtol=1e-4, atol=1e-5)
    changed = {
        name
        for name, each in original.named_modules()
        if isinstance(getattr(each, "weight", None), Tensor)
        and not torch.equal(each.weight, plain.get_submodule(name).weight)
    }
    assert changed == quantised_layers(quantised).keys()
    for name in changed:
        rounded, exact = plain.get_submodule(name), original.get_submodule(name)
        values = rounded.weight.T if inputs_first(rounded) else rounded.weight
        blocks = values.reshape(-1, 64)
        assert all(len(block.unique()) <= 16 for block in blocks)
        error = (rounded.weight - exact.weight).detach()
        assert 0 < float(error.norm() / exact.weight.detach().norm()) < 0.12


def test_the_weights_in_four_bits_are_those_of_the_linear_layers(base: str) -> None:
    quantised = quantised_layers(load_quantised(base, torch.float32))
    held = sum(2 * module.weight.numel() for module in quantised.values())
    assert held == linear_parameters(load_base(base, torch.float32))


@pytest.mark.parametrize("bfloat16", [True, False])
def test_evaluation_changes_neither_the_four_bits_nor_the_gradients(
    base: str, bfloat16: bool
) -> None:
    config = resolve(TrainingType.QLORA, {"lora_dropout": 0.0})
    hardware = CPU.model_copy(update={"bfloat16": bfloat16})
    model = make_trainable(load_for_training(base, TrainingType.QLORA, hardware), config)
    with torch.no_grad():
        for name, each in model.named_parameters():
            if "lora_B" in name:
                each.normal_(std=0.02, generator=torch.Generator().manual_seed(1))
    bits, before = four_bits(model), gradients(model, hardware)
    assert min(float(each.norm()) for each in before.values()) > 0
    with torch.autocast("cpu", torch.bfloat16, enabled=hardware.bfloat16):
        logits(model)
    assert all(torch.equal(bits[name], each) for name, each in four_bits(model).items())
    after = gradients(model, hardware)
    assert all(torch.equal(before[name], each) for name, each in after.items())


def gradients(model: torch.nn.Module, hardware: Hardware) -> dict[str, Tensor]:
    """Of a loss whose attention dropout, which GPT-2 has, is drawn alike each time."""
    model.train()
    model.zero_grad()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=hardware.bfloat16):
        model(input_ids=IDS, labels=IDS).loss.backward()
    return {
        name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None
    }


def test_adapters_beside_four_bits_get_the_gradients_of_the_library(base: str) -> None:
    hardware = CPU.model_copy(update={"bfloat16": False})
    config = resolve(TrainingType.QLORA, {"lora_dropout": 0.0})
    model = causal_model(
        make_trainable(load_for_training(base, TrainingType.QLORA, hardware), config)
    )
    torch.manual_seed(3)
    for each in model.parameters():
        if each.requires_grad:
            torch.nn.init.normal_(each, std=0.05)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # GPT-2 has some in its attention
    rows = make_rows(40, 23, 9)
    choice = choose(model, rows, torch.device("cpu"))
    is_fused = model.config.model_type == "qwen2"
    assert choice.path is (ComputePath.FUSED if is_fused else ComputePath.PACKED)
    loss, gradient = reference(model, rows)
    share = 1 / sum(row.trained_tokens for row in rows)
    gradients = Gradients()
    sums = choice.computes.backward(make_pack(rows), share=share, seed=1, gradients=gradients)
    assert sums.loss == pytest.approx(loss, rel=1e-6)
    assert difference(taken(model, gradients), gradient) <= 2e-6


def test_what_an_architecture_wants_in_full_stays_so(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(load_base(base, torch.float32))
    name = "ln_f" if kind is GPT2LMHeadModel else "norm"
    monkeypatch.setattr(kind, "_keep_in_fp32_modules", {name})
    whole = {
        parameter: each.dtype
        for parameter, each in load_quantised(base, torch.bfloat16).named_parameters()
        if each.is_floating_point()
    }
    kept = {parameter for parameter, dtype in whole.items() if dtype is torch.float32}
    assert kept == {parameter for parameter in whole if f".{name}." in parameter}
    assert 0 < len(kept) < len(whole)


def test_bitsandbytes_that_does_not_work_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_bitsandbytes("cpu")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for this device\nand a paragraph of advice")

    monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", refuse)
    with pytest.raises(BitsandbytesUnavailable, match="not work on cpu here: no kernel for this"):
        require_bitsandbytes("cpu")
