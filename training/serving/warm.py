"""Models that stay loaded between two questions, as many as fit into a number of bytes."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.devices.hardware import Hardware
from training.methods.adapters import TrainableModel, causal_model, with_adapter
from training.methods.quantisation import load_quantised
from training.models.base_models import (
    load_base,
    load_tokenizer,
    stop_token_ids,
    take_generation_config,
)
from training.models.sources import local_folder
from training.models.weights import stored_weights
from training.serving.errors import ModelTooLarge
from training.serving.spec import Served

__all__ = ["Ready", "WarmModels"]

_BITS: dict[torch.dtype, int] = {torch.bfloat16: 16, torch.float32: 32}


class Ready(NamedTuple):
    """A model that can be asked."""

    model: TrainableModel
    tokenizer: PreTrainedTokenizerBase
    stops: frozenset[int]


class _Key(NamedTuple):
    source: str
    quantised: bool


class _Held:
    """A base with the adapters that were laid beside it so far."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model: TrainableModel = model
        self.adapters: dict[str, str] = {}
        """The names by which peft knows them, by their folders."""


class WarmModels:
    """Keeps what was used last. Versions of one base share it."""

    def __init__(self, hardware: Hardware, *, allowed_bytes: int) -> None:
        self._hardware = hardware
        self._allowed = allowed_bytes
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        self._tokenizers: dict[str, PreTrainedTokenizerBase] = {}

    @property
    def held_bytes(self) -> int:
        """What the weights take together."""
        return sum(map(_bytes_of, self._held.values()))

    @contextmanager
    def ready(self, served: Served) -> Iterator[Ready]:
        """The model, loaded if it is not; in the block it answers as the one asked for.

        Raises `ModelUnreadable`, `BitsandbytesUnavailable` and `ModelTooLarge`.
        """
        held = self._hold(served)
        tokenizer = self._tokenizer(served.version_path)
        with _answering(held, served) as model:
            yield Ready(model, tokenizer, _stops(model, served, tokenizer))

    def _hold(self, served: Served) -> _Held:
        whole = not served.adapter and not served.base
        key = _Key(served.version_path if whole else served.model_path, served.quantised)
        if key not in self._held:
            self._make_room(key)
            self._held[key] = _Held(self._load(key))
        self._held.move_to_end(key)
        held = self._held[key]
        if served.adapter and not served.base:
            _lay(held, served.version_path)
        return held

    def _make_room(self, key: _Key) -> None:
        stored = stored_weights(local_folder(key.source))
        elements = sum(torch.Size(shape).numel() for shape in stored.shapes.values())
        needed = elements * _BITS[self._hardware.dtype] // 8
        if needed > self._allowed:
            raise ModelTooLarge(needed, self._allowed)
        while self._held and self.held_bytes + needed > self._allowed:
            self._held.popitem(last=False)

    def _load(self, key: _Key) -> PreTrainedModel:
        load = load_quantised if key.quantised else load_base
        model = load(key.source, self._hardware.dtype)
        model.train(False)
        model.to(self._hardware.device)  # type: ignore[arg-type]  # annotated wrongly
        return model

    def _tokenizer(self, folder: str) -> PreTrainedTokenizerBase:
        if folder not in self._tokenizers:
            self._tokenizers[folder] = load_tokenizer(folder)
        return self._tokenizers[folder]


def _lay(held: _Held, folder: str) -> None:
    """Lay a version's adapter beside the base, if it is not there."""
    if folder in held.adapters:
        return
    name = f"version_{len(held.adapters)}"
    if isinstance(held.model, PeftModel):
        held.model.load_adapter(folder, name)
    else:
        held.model = with_adapter(held.model, Path(folder), name=name)
    held.adapters[folder] = name
    held.model.train(False)


@contextmanager
def _answering(held: _Held, served: Served) -> Iterator[TrainableModel]:
    """The model as the version asked for, or with no adapter as its base."""
    model = held.model
    if isinstance(model, PeftModel) and not served.base:
        model.set_adapter(held.adapters[served.version_path])
    alone = isinstance(model, PeftModel) and served.base
    with _without_adapter(model) if alone else nullcontext():
        yield model


def _without_adapter(model: TrainableModel) -> AbstractContextManager[None]:
    assert isinstance(model, PeftModel)  # noqa: S101 - the caller has looked
    disabled: AbstractContextManager[None] = PeftModel.disable_adapter(model)
    return disabled


def _stops(
    model: TrainableModel, served: Served, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """Where the version stops, and for a fair comparison its base too."""
    inner = causal_model(model)
    take_generation_config(inner, Path(served.version_path))
    return stop_token_ids(inner, tokenizer)


def _bytes_of(held: _Held) -> int:
    return sum(each.numel() * each.element_size() for each in held.model.parameters())
