"""A causal language model as a graph of its own: tokens and cache in, logits and the longer cache out."""

import errno
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import Module
from transformers import DynamicCache, PreTrainedModel

from training.export.errors import NotExportable
from training.export.onnx.names import GRAPH, PAST, PRESENT
from training.export.spec import ExportFormat
from training.models.tokenizers import first_line

__all__ = ["short_writes_named", "write_graph"]

_OPSET: Final = 20

_BATCH, _SEQUENCE, _PAST = 2, 3, 4
"""Traced with, and none of them 0 or 1, which tracing takes for constants."""
_CACHE_AXES: Final = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
_TOKEN_AXES: Final = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}


class _WithFlatCache(Module):
    """The model with its cache as a list of tensors: a key and a value for each layer."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """The logits, and the cache with what was read now."""
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=DynamicCache(list(zip(past[::2], past[1::2], strict=True))),
            use_cache=True,
        )
        return output.logits, *_flat(output.past_key_values)


def write_graph(model: PreTrainedModel, folder: Path) -> None:
    """Write the graph and, beside it, its weights, tied ones once. Raises `NotExportable`."""
    past = _example_cache(model)
    layers = range(len(past) // 2)
    inputs = (
        torch.arange(_BATCH * _SEQUENCE).reshape(_BATCH, _SEQUENCE),
        torch.ones(_BATCH, _PAST + _SEQUENCE, dtype=torch.int64),
        torch.arange(_PAST, _PAST + _SEQUENCE).expand(_BATCH, _SEQUENCE).contiguous(),
        past,
    )
    with warnings.catch_warnings():  # of torch's own uses of what it will give up
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            program = torch.onnx.export(
                _WithFlatCache(model).eval(),
                inputs,
                dynamo=True,
                dynamic_shapes=(_TOKEN_AXES, _TOKEN_AXES, _TOKEN_AXES, [_CACHE_AXES] * len(past)),
                input_names=["input_ids", "attention_mask", "position_ids", *_names(PAST, layers)],
                output_names=["logits", *_names(PRESENT, layers)],
                opset_version=_OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise _refusal(model, first_line(error.__cause__ or error)) from error
    assert program is not None  # noqa: S101 - it is not with dynamo
    with short_writes_named():
        program.save(folder / GRAPH, external_data=True)


@contextmanager
def short_writes_named() -> Iterator[None]:
    """Take a full disk for the cause where numpy, which does not say why, could not write a tensor."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(errno.ENOSPC, str(error)) from error
        raise


def _example_cache(model: PreTrainedModel) -> list[Tensor]:
    """A cache of the shapes that this model keeps, as it makes one itself."""
    ids = torch.arange(_BATCH * _PAST).reshape(_BATCH, _PAST)
    with torch.no_grad():
        found = model(input_ids=ids, use_cache=True).get("past_key_values")
    if not isinstance(found, DynamicCache):
        raise _refusal(model, "it keeps something else than keys and values of past tokens")
    tensors = list(_flat(found))
    if any(each.dim() != 4 or each.shape[2] != _PAST for each in tensors):
        raise _refusal(model, "not every layer keeps keys and values of all past tokens")
    return tensors


def _flat(cache: DynamicCache) -> Iterator[Tensor]:
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        yield torch.empty(0) if keys is None else keys
        yield torch.empty(0) if values is None else values


def _names(prefix: str, layers: Sequence[int]) -> list[str]:
    return [f"{prefix}.{layer}.{part}" for layer in layers for part in ("key", "value")]


def _refusal(model: PreTrainedModel, reason: str) -> NotExportable:
    return NotExportable(ExportFormat.ONNX, type(model).__name__, reason)
