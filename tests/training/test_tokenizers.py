"""A tokenizer and its stop tokens, without the model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.tiny_model import make_architecture, make_tiny_model
from training.errors import ModelUnreadable
from training.models.base_models import load_base, stop_token_ids
from training.models.tokenizers import declared_stop_ids, load_tokenizer


def without_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


def with_two_stops(folder: Path) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [1, 5]}))


def with_none(folder: Path) -> None:
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": None}))


@pytest.mark.parametrize("change", [None, without_generation_config, with_two_stops, with_none])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_the_stop_tokens_are_those_of_the_loaded_model(
    tmp_path: Path, architecture: str, change: Callable[[Path], None] | None
) -> None:
    folder = make_architecture(tmp_path / "model", architecture, layers=1)
    if change is not None:
        change(folder)
    tokenizer = load_tokenizer(str(folder))
    model = load_base(str(folder), torch.float32)
    assert declared_stop_ids(str(folder), tokenizer) == stop_token_ids(model, tokenizer)


def test_a_model_without_a_configuration_is_named(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    for name in ("generation_config.json", "config.json"):
        (folder / name).unlink()
    tokenizer = load_tokenizer(str(folder))
    with pytest.raises(ModelUnreadable, match="it has no config"):
        declared_stop_ids(str(folder), tokenizer)
