"""The trained model as one: whatever format it is then written in starts from this."""

from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedModel

from training.export.spec import ExportSpec
from training.methods.adapters import merged
from training.methods.quantisation import load_dequantised
from training.models.base_models import load_base, take_generation_config
from training.models.sources import local_folder
from training.models.weights import stored_weights

__all__ = ["in_stored_type", "whole_model"]

_TORCH_DTYPES: Final = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def whole_model(spec: ExportSpec) -> PreTrainedModel:
    """The version in fp32, an adapter merged into the base that it was trained beside: of one in 4
    bits, into the values that these stand for. It stops where the version does.

    Raises `ModelUnreadable` and `BitsandbytesUnavailable`.
    """
    model = _whole(spec)
    take_generation_config(model, Path(spec.version_path))
    return model


def in_stored_type(model: PreTrainedModel, spec: ExportSpec, *, full_precision: bool) -> None:
    """Round to the element type that the base is stored in, unless `full_precision` says not to."""
    stored = "float32" if full_precision else stored_weights(local_folder(spec.model_path)).dtype
    model.to(_TORCH_DTYPES.get(stored, torch.float32))  # type: ignore[arg-type]  # annotated wrongly


def _whole(spec: ExportSpec) -> PreTrainedModel:
    if not spec.adapter:
        return load_base(spec.version_path, torch.float32)
    if spec.quantised:
        return merged(load_dequantised(spec.model_path), Path(spec.version_path))
    return merged(load_base(spec.model_path, torch.float32), Path(spec.version_path))
