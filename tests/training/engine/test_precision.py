"""Parameters that an architecture computes with in fp32, brought to bf16 with the others."""

from pathlib import Path

import pytest
import torch

from tests.training.engine.mixtures import BIAS, ROUTER, load, make_mixture
from tests.training.engine.models import difference, make_rows
from training.config import TrainingType, resolve
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.packs import make_pack
from training.engine.trainable import TrainableWeights
from training.methods.adapters import make_trainable
from training.models.precision import precisions


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    return make_mixture(tmp_path)


def types(model: torch.nn.Module) -> dict[str, torch.dtype]:
    return {name: each.dtype for name, each in model.named_parameters()}


def test_a_model_is_brought_to_what_transformers_would_load_it_in(mixture: Path) -> None:
    loaded, ours = load(mixture, torch.bfloat16), load(mixture, torch.float32)
    assert {name for name, each in types(loaded).items() if each is torch.float32} == {ROUTER, BIAS}
    weights = TrainableWeights(ours, torch.bfloat16)
    assert types(ours) == types(loaded)
    assert {each.dtype for each in weights.masters.values()} == {torch.float32}
    assert weights.masters[ROUTER] is ours.get_parameter(ROUTER)  # no second copy of it
    ids = torch.arange(3, 40)[None]
    assert torch.equal(ours(input_ids=ids).logits, loaded(input_ids=ids).logits)


def test_beside_adapters_too_the_base_is_what_transformers_would_load(mixture: Path) -> None:
    base = load(mixture, torch.bfloat16)
    expected = types(base)
    model = make_trainable(base, resolve(TrainingType.LORA, {}))
    TrainableWeights(model, torch.bfloat16)
    found = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): each
        for name, each in types(model).items()
        if "lora_" not in name
    }
    assert found == expected


def test_a_kept_weight_is_kept_under_an_adapter_of_its_own(mixture: Path) -> None:
    adapted = torch.nn.ModuleDict({"base_layer": torch.nn.Linear(2, 2)})
    model = torch.nn.ModuleDict({"gate": adapted, "model": load(mixture, torch.float32)})
    found = precisions(model, torch.bfloat16)
    assert found["gate.base_layer.weight"] is torch.float32
    assert found["gate.base_layer.bias"] is torch.bfloat16
    assert set(precisions(adapted, torch.bfloat16).values()) == {torch.bfloat16}


def test_gradients_of_a_router_in_fp32_are_the_librarys(mixture: Path) -> None:
    (row,) = make_rows(31)
    library = load(mixture, torch.bfloat16)
    ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
    library(input_ids=ids, labels=labels, use_cache=False).loss.backward()
    wanted = library.get_parameter(ROUTER).grad
    assert wanted is not None
    model, gradients = load(mixture, torch.float32), Gradients()
    weights = TrainableWeights(model, torch.bfloat16)
    GenericDecoder(model, None, packs=False).backward(
        make_pack([row]), share=1 / row.trained_tokens, seed=0, gradients=gradients
    )
    weights.collect([gradients])
    found = weights.masters[ROUTER].grad
    assert found is not None
    assert found.dtype is torch.float32
    assert difference(found, wanted) < 0.02
