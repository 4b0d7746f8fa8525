"""Parameters that an architecture computes with in fp32, in a model that is split among processes."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.distributed.tensor import DTensor
from torch.nn import Linear, Module, Parameter, Sequential

from tests.training.engine.mixtures import BIAS, ROUTER, load, make_mixture
from tests.training.ranks import run_worlds
from training.config import TrainingType, resolve
from training.devices.errors import PrecisionNotSharded
from training.devices.hardware import Hardware
from training.devices.sharding import _in_fp32, shard
from training.devices.world import World
from training.methods.adapters import causal_model, make_trainable

HARDWARE = Hardware(device="cpu", name="AVX512", cores=2, bfloat16=True)
IDS = torch.arange(3, 40)[None]


def see_what_is_computed_in(world: World, *, folder: Path, method: TrainingType) -> None:
    whole = load(folder, torch.bfloat16)(input_ids=IDS).logits
    model = make_trainable(load(folder, torch.float32), resolve(method, {}))
    inner = causal_model(model)
    router = inner.get_submodule(ROUTER.removesuffix(".weight"))
    assert isinstance(router, Module)
    seen: list[torch.dtype] = []
    router.register_forward_hook(lambda module, *_: seen.append(module.weight.dtype))
    passage = shard(model, inner, size=world.size, hardware=HARDWARE)
    model.eval()
    with torch.no_grad():
        found = passage(lambda: inner(input_ids=IDS).logits)
    assert seen == [torch.float32]
    assert isinstance(router.weight, DTensor) is (method is TrainingType.FULL)
    assert torch.equal(found, whole)


@pytest.mark.slow
@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_a_router_stays_in_fp32_where_the_model_is_split(
    tmp_path: Path, method: TrainingType
) -> None:
    folder = make_mixture(tmp_path / "model")
    check = partial(see_what_is_computed_in, folder=folder, method=method)
    assert run_worlds(tmp_path, 2, check) == [0, 0]


def test_the_outermost_modules_in_fp32_are_split_by_themselves(tmp_path: Path) -> None:
    model = load(make_mixture(tmp_path), torch.float32)
    kept = {model.get_parameter(ROUTER), model.get_parameter(BIAS)}
    assert _in_fp32(model, kept) == [model.get_submodule("model.layers.1.mlp.gate")]
    for each in kept:
        each.requires_grad = False
    assert _in_fp32(model, kept) == []


def test_a_lone_weight_in_fp32_amid_others_is_refused_by_name() -> None:
    layer = Sequential(Linear(2, 2))
    layer.register_parameter("sinks", Parameter(torch.zeros(2)))
    with pytest.raises(PrecisionNotSharded, match=r"computes with sinks in fp32"):
        _in_fp32(layer, {layer.get_parameter("sinks")})
