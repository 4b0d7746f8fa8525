"""GGUF files are the trained model, by llama.cpp's own word, on every architecture and tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from transformers.activations import GELUTanh, NewGELUActivation

from tests.sentencepiece import Blanks
from tests.tiny_model import make_architecture, make_tiny_model
from tests.training.gguf_files import (
    changed,
    needs_llama,
    parity,
    spec_of,
    with_sentencepiece,
    written,
)
from training.export.bounds import bounds_of
from training.export.gguf import exporter
from training.export.gguf.architectures import ARCHITECTURES
from training.export.gguf.header import tensors
from training.export.parity import judge
from training.export.spec import WeightType

pytestmark = needs_llama

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


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = {
    "pattern": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}",
    "ignore_merges": False,
    "normalizer": {"type": "NFC"},
}
LLAMA_3 = {
    "pattern": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}",
    "ignore_merges": True,
    "normalizer": None,
}


def resplit(model: Path, folder: Path, like: dict[str, Any]) -> Path:
    """A copy whose tokenizer splits text as that of a well-known model does."""
    path = model / "tokenizer.json"
    content = json.loads(path.read_bytes())
    bytes_alone = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    split = {
        "type": "Split",
        "pattern": {"Regex": like["pattern"]},
        "behavior": "Isolated",
        "invert": False,
    }
    parts = {"type": "Sequence", "pretokenizers": [split, bytes_alone | {"trim_offsets": False}]}
    return changed(
        model,
        folder,
        tokenizer={
            "pre_tokenizer": parts,
            "normalizer": like["normalizer"],
            "model": content["model"] | {"ignore_merges": like["ignore_merges"]},
        },
    )


def unwindowed(model: Path, folder: Path) -> Path:
    """A window that the longest question fits into, as in every model of use."""
    return changed(model, folder, config={"sliding_window": 256})


SENTENCEPIECE: dict[str, tuple[str, Blanks, bool]] = {
    "sentencepiece": ("llama", "always", False),
    "gemma-tokenizer": ("gemma2", "never", False),
    "phi3-tokenizer": ("phi3", "always", True),
}


def make_variant(folder: Path, variant: str) -> Path:
    """A model by the name of its variant: an architecture, or what is unusual about one."""
    if variant in SENTENCEPIECE:
        architecture, blanks, strips = SENTENCEPIECE[variant]
        return with_sentencepiece(folder / "model", architecture, blanks, strips=strips)
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
        case "llama2-tokenizer":
            model = with_sentencepiece(folder / "base", "mistral", "first")
            return unwindowed(model, folder / "model")
        case "qwen2-tokenizer":
            return resplit(make_architecture(folder / "base", "qwen2"), folder / "model", QWEN2)
        case "llama3-tokenizer":
            return resplit(make_architecture(folder / "base", "llama"), folder / "model", LLAMA_3)
    return make_architecture(folder / "model", variant)


VARIANTS = (
    "llama", "mistral", "qwen2", "qwen3", "gpt2", "phi3", "gemma2",
    "untied", "linear", "yarn", "llama3", "longrope",
    "sentencepiece", "llama2-tokenizer", "gemma-tokenizer", "phi3-tokenizer",
    "qwen2-tokenizer", "llama3-tokenizer",
)  # fmt: skip

GELU = ("gpt2", "gemma2", "gemma-tokenizer")
"""Variants of `GELU_FROM_TABLE`."""


def tabled(_: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
    """GELU as llama.cpp has it: looked up by the argument in fp16, and outside of 10 as it is there."""
    rounded = values.half().float()
    found = torch.nn.functional.gelu(rounded, approximate="tanh").half().float()
    return torch.where(values >= 10, values, torch.where(values <= -10, 0.0, found))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_says_what_the_model_says(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_variant(tmp_path, variant)
    whole = spec_of(model)
    files = written(whole, tmp_path / "whole")
    bounds = bounds_of(WeightType.F32, gelu_from_table=variant in GELU)
    found = judge(parity(whole, files), bounds)
    assert (found.tokens_equal, found.first_difference) == (True, None)
    if variant in GELU:
        assert found.kl_divergence < 1e-8
        for activation in (NewGELUActivation, GELUTanh):
            monkeypatch.setattr(activation, "forward", tabled)
        found = parity(whole, files)
    assert found.kl_divergence < 1e-9
    if variant not in ARCHITECTURES:
        return
    half = spec_of(model, weight_type=WeightType.F16)
    rounded = judge(parity(half, written(half, tmp_path / "half")), bounds_of(WeightType.F16))
    assert rounded.first_difference is None
    assert rounded.kl_divergence < 1e-5


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
    listed = GGUFReader(next(files.glob("*.gguf"))).tensors
    assert list(tensors(next(files.glob("*.gguf")))) == [
        (each.tensor_type.name, each.n_elements, each.n_bytes) for each in listed
    ]
    size_bytes = sum(each.size_bytes for each in stored)
    assert 8 * size_bytes / sum(each.parameters for each in stored) == pytest.approx(bits, abs=0.1)
    assert f"| {stored[0].name} | {stored[0].tensors} |" in (files / "README.md").read_text()
