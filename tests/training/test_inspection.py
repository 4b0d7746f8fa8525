"""What is said of a model folder, good or broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.factories import FACTS
from tests.tiny_model import ARCHITECTURES, make_architecture
from training.models import architecture, inspection
from training.models.facts import ModelFacts


@pytest.fixture
def inspect(tmp_path: Path) -> Callable[[Path], dict[str, object]]:
    def outcome(source: Path) -> dict[str, object]:
        out = tmp_path / "out.json"
        assert inspection.main([str(source), str(out)]) == 0
        found = json.loads(out.read_bytes())
        assert isinstance(found, dict)
        return found

    return outcome


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be broken."""
    return shutil.copytree(tiny_model, tmp_path / "model")


Inspect = Callable[[Path], dict[str, object]]


def reason(outcome: dict[str, object]) -> str:
    error = outcome["error"]
    assert isinstance(error, dict)
    assert error["code"] == "MODEL_UNREADABLE"
    return str(error["message"])


def test_a_good_folder_is_described(inspect: Inspect, model: Path) -> None:
    (model / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n# Tiny\n")
    facts = ModelFacts.model_validate(inspect(model)["result"])
    assert facts.architecture == "LlamaForCausalLM"
    assert facts.parameter_count == 886_016
    assert facts.layer_count == 2
    assert facts.linear_parameters == 2 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 256)
    assert facts.shape is not None
    assert facts.shape.hidden_size == 256
    assert (facts.shape.heads, facts.shape.key_value_heads, facts.shape.head_size) == (4, 2, 64)
    assert (facts.shape.vocabulary_size, facts.shape.head_is_tied) == (384, True)
    assert [(each.name, each.inputs, each.outputs) for each in facts.shape.linears] == [
        ("self_attn.q_proj", 256, 256),
        ("self_attn.k_proj", 256, 128),
        ("self_attn.v_proj", 256, 128),
        ("self_attn.o_proj", 256, 256),
        ("mlp.gate_proj", 256, 256),
        ("mlp.up_proj", 256, 256),
        ("mlp.down_proj", 256, 256),
    ]
    layers = facts.parameter_count - facts.shape.embedding_parameters - 256
    assert layers == 2 * facts.shape.layer_parameters
    assert facts.tokenizer is not None
    assert 1 < facts.tokenizer.bytes_per_token < 4
    assert facts.tokenizer.tokens_per_message > 2
    assert facts.context_length == 512
    assert facts.licence == "apache-2.0"
    assert facts.has_chat_template
    assert facts.dtype == "float32"
    assert facts.size_bytes == (model / "model.safetensors").stat().st_size
    again = ModelFacts.model_validate(inspect(model)["result"])
    assert again.sha256 == facts.sha256
    assert again.content_sha256 == facts.content_sha256 is not None
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    changed = ModelFacts.model_validate(inspect(model)["result"])
    assert changed.sha256 == facts.sha256
    assert changed.content_sha256 != facts.content_sha256


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_shape_of_a_known_architecture_is_found(kind: str, tmp_path: Path) -> None:
    facts = architecture.facts(str(make_architecture(tmp_path, kind, tied=False)))
    shape = facts.shape
    assert shape is not None
    assert shape.model_type == kind
    assert (shape.hidden_size, shape.heads, shape.vocabulary_size) == (64, 4, 384)
    assert (shape.head_is_tied, shape.head_parameters) == (False, 384 * 64)
    linear = sum(each.inputs * each.outputs for each in shape.linears)
    assert (facts.linear_parameters, facts.fused_experts) == (3 * linear, False)
    assert shape.squashes_logits is (kind == "gemma2")


def test_an_architecture_that_is_not_known_has_no_shape(tmp_path: Path) -> None:
    facts = architecture.facts(str(make_architecture(tmp_path, "mixtral")))
    assert facts.fused_experts is True
    assert facts.shape is None
    assert facts.tokenizer is not None


def test_facts_of_before_shapes_were_noted_still_load() -> None:
    older = FACTS.model_dump(mode="json", exclude={"shape", "tokenizer"})
    assert ModelFacts.model_validate(older) == FACTS.model_copy(
        update={"shape": None, "tokenizer": None}
    )


def test_a_missing_folder_is_named(inspect: Inspect, tmp_path: Path) -> None:
    assert "there is no such folder" in reason(inspect(tmp_path / "nowhere"))


def test_a_folder_without_weights_is_refused(inspect: Inspect, model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "there is no safetensors file in it" in reason(inspect(model))


def test_a_folder_without_a_configuration_is_refused(inspect: Inspect, model: Path) -> None:
    (model / "config.json").unlink()
    assert "no usable config.json" in reason(inspect(model))


def test_a_folder_without_a_tokenizer_is_refused(inspect: Inspect, model: Path) -> None:
    for path in model.glob("tokenizer*"):
        path.unlink()
    assert "no tokenizer" in reason(inspect(model))


def test_a_weight_file_that_is_cut_off_is_refused(inspect: Inspect, model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors is cut off" in reason(inspect(model))


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_weight_file_of_junk_is_refused(inspect: Inspect, model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    assert "model.safetensors" in reason(inspect(model))


def test_a_missing_weight_is_named(inspect: Inspect, model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert "missing keys: model.layers.1.mlp.up_proj.weight" in reason(inspect(model))


def test_a_weight_too_many_is_named(inspect: Inspect, model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.layers.7.extra"] = weights["model.norm.weight"].clone()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert "unexpected keys: model.layers.7.extra" in reason(inspect(model))


def test_a_weight_of_another_shape_is_named(inspect: Inspect, model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"][:-1].clone()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    message = reason(inspect(model))
    assert "model.norm.weight has shape [255], but config.json asks for [256]" in message


def test_a_model_of_another_kind_is_refused(inspect: Inspect, model: Path) -> None:
    config = json.loads((model / "config.json").read_text()) | {"model_type": "no-such-model"}
    (model / "config.json").write_text(json.dumps(config))
    assert "no usable config.json" in reason(inspect(model))
