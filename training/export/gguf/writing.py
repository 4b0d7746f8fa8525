"""A checkpoint folder as one GGUF file of F32, F16 or BF16, a tensor at a time."""

from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from gguf import (
    GGML_QUANT_VERSION,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
)
from transformers import AutoConfig

from training.export.errors import short_writes_named
from training.export.gguf.architectures import target, write_shape
from training.export.gguf.naming import safe_name
from training.export.gguf.stops import ends, write_ends
from training.export.gguf.tensors import weights
from training.export.gguf.vocabulary import NAMED_PHI3, vocabulary, write_vocabulary
from training.export.spec import WeightType
from training.models.base_models import GENERATION_CONFIG
from training.models.tokenizers import declared_generation, load_tokenizer

__all__ = ["MODEL_NAME_KEY", "Titles", "write_file"]

MODEL_NAME_KEY: Final = "tunery.model_name"
"""The name as its owner chose it, which llama.cpp does not look at."""

_ELEMENTS: Final = {
    WeightType.F32: (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    WeightType.F16: (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    WeightType.BF16: (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
}


class Titles(NamedTuple):
    """What the file says of where it comes from."""

    model_name: str
    base_name: str
    licence: str | None


def write_file(
    folder: Path, path: Path, element: WeightType, titles: Titles, *, words: Path | None = None
) -> None:
    """Write what a checkpoint folder holds, with its tokenizer, its template and where it stops, or
    with those of the folder `words`.

    Raises `NotInGguf` naming what llama.cpp has no word for, and `WeightsOverflow`; either
    leaves no file that is whole.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    stored_as, file_type = _ELEMENTS[element]
    arch = target(config)
    words = words or folder
    tokenizer = load_tokenizer(str(words))
    listed = weights(folder, config, arch, stored_as)
    known = vocabulary(tokenizer, rows=listed.rows)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[arch])
    writer.add_type("model")
    writer.add_name(NAMED_PHI3 if known.strips_right else safe_name(titles.model_name))
    writer.add_string(MODEL_NAME_KEY, titles.model_name)
    if titles.licence is not None:
        writer.add_license(titles.licence)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, titles.base_name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    write_shape(config, writer, rows=listed.rows)
    write_vocabulary(known, writer)
    declaring = words if (words / GENERATION_CONFIG).is_file() else folder
    write_ends(ends(tokenizer, declared_generation(str(declaring))), writer)
    for weight in listed.listed:
        writer.add_tensor_info(
            weight.name, weight.shape, np.dtype(np.float32), weight.size_bytes, weight.type
        )
    with closing(writer), short_writes_named():
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, values in listed.contents():
            writer.write_tensor_data(values)
