"""GGUF files are the trained model, by llama.cpp's own word, on every architecture and tokenizer."""

from pathlib import Path

import pytest

from tests.tiny_model import make_architecture, make_tiny_model

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not compiled yet: make llama")


from tests.training.gguf_files import changed, parity, spec_of, with_sentencepiece, written
from training.export.bounds import bounds_of
from training.export.gguf import exporter
from training.export.parity import judge
from training.export.spec import WeightType

LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def rope(model: Path, folder: Path, **scaling: object) -> Path:
    return changed(model, folder, config={"rope_parameters": {"rope_theta": 1e4} | scaling})


def unwindowed(model: Path, folder: Path) -> Path:
    """A window that the longest question fits into, as in every model of use."""
    return changed(model, folder, config={"sliding_window": 256})


def make_variant(folder: Path, variant: str) -> Path:
    """A model by the name of its variant: an architecture, or what is unusual about one."""
    match variant:
        case "mistral":
            return unwindowed(make_architecture(folder / "base", "mistral"), folder / "model")
        case "untied":
            return make_architecture(folder / "model", "llama", tied=False)
        case "linear" | "yarn" | "llama3":
            scaling = {"linear": LINEAR, "yarn": YARN, "llama3": LLAMA3}[variant]
            return rope(make_architecture(folder / "base", "llama"), folder / "model", **scaling)
        case "longrope":
            scaling = {
                "rope_type": "longrope",
                "short_factor": [1.0 + place / 8 for place in range(8)],
                "long_factor": [2.0 + place for place in range(8)],
            }
            model = rope(make_architecture(folder / "base", "phi3"), folder / "scaled", **scaling)
            lengths = {"original_max_position_embeddings": 256, "max_position_embeddings": 512}
            return changed(model, folder / "model", config=lengths)
        case "sentencepiece":
            return with_sentencepiece(folder / "model", "llama", "always")
        case "llama2-tokenizer":
            model = with_sentencepiece(folder / "base", "mistral", "first")
            return unwindowed(model, folder / "model")
        case "gemma-tokenizer":
            return with_sentencepiece(folder / "model", "gemma2", "never")
        case "phi3-tokenizer":
            return with_sentencepiece(folder / "model", "phi3", "always", strips=True)
    return make_architecture(folder / "model", variant)


VARIANTS = (
    "llama", "mistral", "qwen2", "qwen3", "gpt2", "phi3", "gemma2",
    "untied", "linear", "yarn", "llama3", "longrope",
    "sentencepiece", "llama2-tokenizer", "gemma-tokenizer", "phi3-tokenizer",
)  # fmt: skip

GELU = ("gpt2", "gemma2", "gemma-tokenizer")
"""llama.cpp has a table of this function in fp16."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_of_full_precision_says_what_the_model_says(variant: str, tmp_path: Path) -> None:
    spec = spec_of(make_variant(tmp_path, variant))
    found = parity(spec, written(spec, tmp_path / "files"))
    assert found.first_difference is None
    limit = 1e-8 if variant in GELU else 1e-9
    assert judge(found, bounds_of(WeightType.F32)).kl_divergence < limit


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 wide, as the mixed types want it."""
    return make_tiny_model(tmp_path_factory.mktemp("gguf") / "tiny")


@pytest.mark.parametrize(
    ("weight_type", "kl_divergence", "held", "bits"),
    [
        (WeightType.F16, 1e-6, {"F16": 15, "F32": 5}, 16.0),
        (WeightType.BF16, 1e-4, {"BF16": 15, "F32": 5}, 16.0),
        (WeightType.Q8_0, 1e-3, {"Q8_0": 15, "F32": 5}, 8.5),
        (WeightType.Q6_K, 1e-2, {"Q6_K": 15, "F32": 5}, 6.6),
        (WeightType.Q5_K_M, 1e-2, {"Q5_K": 12, "Q6_K": 3, "F32": 5}, 5.8),
        (WeightType.Q4_K_M, 1e-2, {"Q4_K": 12, "Q6_K": 3, "F32": 5}, 5.0),
        (WeightType.Q4_0, 1e-2, {"Q4_0": 14, "Q6_K": 1, "F32": 5}, 4.7),
    ],
)
def test_each_type_is_near_the_model_and_says_what_it_holds(
    model: Path,
    tmp_path: Path,
    weight_type: WeightType,
    kl_divergence: float,
    held: dict[str, int],
    bits: float,
) -> None:
    spec = spec_of(model, weight_type=weight_type)
    files = written(spec, tmp_path / "files")
    found = parity(spec, files)
    assert (found.tokens_equal, found.template_equal) == (True, True)
    assert 0 < found.kl_divergence < kl_divergence
    stored = exporter.stored(files)
    assert {each.name: each.tensors for each in stored} == held
    size_bytes = sum(each.size_bytes for each in stored)
    assert 8 * size_bytes / sum(each.parameters for each in stored) == pytest.approx(bits, abs=0.1)
    assert f"| {stored[0].name} | {stored[0].tensors} |" in (files / "README.md").read_text()
