"""GGUF for llama.cpp and all that is built on it: merged, written, quantised, described."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from training.export.cards import base_name, write_card
from training.export.errors import require
from training.export.exporters import tallied
from training.export.gguf.adapter import write_adapter
from training.export.gguf.cards import adapter_further, adapter_usage, further, usage
from training.export.gguf.errors import NotInGguf, QuantisationFailed
from training.export.gguf.header import tensors
from training.export.gguf.modelfile import modelfile
from training.export.gguf.naming import file_stem
from training.export.gguf.texts import treatment
from training.export.gguf.writing import Titles, write_file
from training.export.merging import whole_model
from training.export.spec import QUANTISED, ExportFormat, ExportSpec, StoredType, WeightType
from training.models.base_models import GENERATION_CONFIG
from training.models.licences import declared_licence
from training.models.sources import local_folder
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.models.weights import stored_weights

__all__ = ["asker", "quantise", "stored", "write"]

_NO_ROOM_BYTES: Final = 2**20
_AS_STORED: Final = {
    "float32": WeightType.F32,
    "float16": WeightType.F16,
    "bfloat16": WeightType.BF16,
}
_MIXES: Final[Mapping[WeightType, frozenset[str]]] = {
    WeightType.Q8_0: frozenset({"F32", "Q8_0"}),
    WeightType.Q6_K: frozenset({"F32", "Q6_K"}),
    WeightType.Q5_K_M: frozenset({"F32", "Q5_K", "Q6_K"}),
    WeightType.Q4_K_M: frozenset({"F32", "Q4_K", "Q5_K", "Q6_K"}),
    WeightType.Q4_0: frozenset({"F32", "Q4_0", "Q4_1", "Q6_K"}),
}
"""What llama.cpp uses for each mix where every row fits into its blocks."""

_COMPOSES: Final = (
    "The model's tokenizer composes characters first (Unicode NFC) and llama.cpp does not: "
    "send text in NFC."
)
_BLANK_FIRST: Final = (
    "Begin a text that is no chat with a blank: the model's tokenizer puts one there, and llama.cpp "
    "does not. Chats need none."
)
_NO_TEMPLATE: Final = (
    "The chat template is more than a Modelfile can say: Ollama will take one of its own that "
    "resembles it."
)
_SUBSTITUTED: Final = (
    "Some rows do not fit into the blocks of this type, which are of 256 weights, or of 32 in Q8_0 "
    "and Q4_0; llama.cpp stored them in larger types."
)


def write(spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
    """Write the file, for a whole model a Modelfile for Ollama, and the card.

    Raises `ExporterUnavailable`, `NotExportable` naming what llama.cpp would compute otherwise,
    `WeightsOverflow` and `QuantisationFailed`.
    """
    require(ExportFormat.GGUF)
    if spec.adapter_only:
        _write_adapter(spec, folder)
    else:
        _write_whole(spec, folder, full_precision=full_precision)


def asker(spec: ExportSpec, folder: Path) -> list[str]:
    """llama.cpp, which is told nothing that the file should say."""
    tokenizer = load_tokenizer(spec.version_path)
    stops = sorted(declared_stop_ids(_declaring(spec), tokenizer))
    left = treatment(tokenizer)
    return [
        "training.export.gguf.asking",
        str(_file(folder)),
        *(f"--stop={token}" for token in stops),
        *(["--composed"] if left.composes else []),
        *(["--blank-first"] if left.blank_first else []),
        *(_beside_base(spec) if spec.adapter_only else []),
    ]


def stored(folder: Path) -> tuple[StoredType, ...]:
    """By the header of the file: llama.cpp's quantiser takes other types where rows do not fit."""
    return tallied(tensors(_file(folder)))


def _declaring(spec: ExportSpec) -> str:
    """The folder that says where generation stops: the base's, where an adapter's is of before that was
    kept with it."""
    kept = not spec.adapter or (Path(spec.version_path) / GENERATION_CONFIG).is_file()
    return spec.version_path if kept else str(local_folder(spec.model_path))


def _beside_base(spec: ExportSpec) -> list[str]:
    return ["--base", str(local_folder(spec.model_path)), "--words", spec.version_path]


def quantise(spec: ExportSpec, folder: Path) -> None:
    """Put in the place of a file in fp32 the one of the spec's type that llama.cpp makes of it."""
    whole, chosen = _file(folder), _chosen(spec)
    _quantise(whole, _named(spec, folder, chosen), chosen)
    whole.unlink()
    _describe(spec, folder, chosen)


def _write_whole(spec: ExportSpec, folder: Path, *, full_precision: bool) -> None:
    chosen = WeightType.F32 if full_precision else _chosen(spec)
    written = WeightType.F32 if chosen in QUANTISED else chosen
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=".gguf.", suffix=".partial"
    ) as scratch:
        source = _checkpoint(spec, Path(scratch))
        write_file(source, _named(spec, folder, written), written, _titles(spec))
    if chosen in QUANTISED:
        quantise(spec, folder)
    else:
        _describe(spec, folder, chosen)


def _named(spec: ExportSpec, folder: Path, held: WeightType) -> Path:
    return folder / f"{file_stem(spec.model_name)}-{held}.gguf"


def _describe(spec: ExportSpec, folder: Path, chosen: WeightType) -> None:
    """The Modelfile and the card."""
    file = _file(folder)
    tokenizer = load_tokenizer(spec.version_path)
    stops = declared_stop_ids(_declaring(spec), tokenizer)
    ollama = modelfile(tokenizer, stops, file.name)
    (folder / "Modelfile").write_text(ollama.text, encoding="utf-8")
    notes = [
        *([_COMPOSES] if treatment(tokenizer).composes else []),
        *([_BLANK_FIRST] if treatment(tokenizer).blank_first else []),
        *([] if ollama.has_template else [_NO_TEMPLATE]),
        *([_SUBSTITUTED] if _has_substitutes(stored(folder), chosen) else []),
    ]
    write_card(
        spec,
        folder,
        usage=usage(file.name, has_template=tokenizer.chat_template is not None),
        library="gguf",
        more=further(file.name, stored(folder), notes=notes),
    )


def _write_adapter(spec: ExportSpec, folder: Path) -> None:
    if spec.quantised:
        raise NotInGguf("its adapter belongs to a base in 4 bits, which llama.cpp has no file of")
    file = folder / f"{file_stem(spec.model_name)}-lora.gguf"
    base = local_folder(spec.model_path)
    write_adapter(Path(spec.version_path), base, file, _titles(spec))
    write_card(
        spec,
        folder,
        usage=adapter_usage(file.name),
        library="gguf",
        more=adapter_further(file.name),
    )


def _has_substitutes(held: Sequence[StoredType], chosen: WeightType) -> bool:
    mix = _MIXES.get(chosen)
    return mix is not None and not mix >= {each.name for each in held}


def _file(folder: Path) -> Path:
    return next(folder.glob("*.gguf"))


def _chosen(spec: ExportSpec) -> WeightType:
    if spec.weight_type is not None:
        return spec.weight_type
    base = local_folder(spec.model_path)
    return _AS_STORED.get(stored_weights(base).dtype, WeightType.F32)


def _titles(spec: ExportSpec) -> Titles:
    return Titles(
        model_name=spec.model_name,
        base_name=base_name(spec),
        licence=declared_licence(local_folder(spec.model_path)),
    )


def _checkpoint(spec: ExportSpec, scratch: Path) -> Path:
    """The whole version in fp32: as it was trained, or its adapter merged."""
    if not spec.adapter:
        return Path(spec.version_path)
    merged = scratch / "merged"
    whole_model(spec).save_pretrained(merged)
    load_tokenizer(spec.version_path).save_pretrained(merged)
    return merged


def _quantise(whole: Path, file: Path, chosen: WeightType) -> None:
    export_dir = file.parent.parent
    command = [
        sys.executable, "-P", "-m", "training.export.gguf.quantising",
        str(whole), str(file), chosen, str(export_dir),
    ]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if finished.returncode == 0:
        return
    if shutil.disk_usage(file.parent).free < _NO_ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # llama.cpp does not say why
    lines = finished.stderr.strip().splitlines() or ["it says nothing"]
    raise QuantisationFailed(chosen, lines[-1].replace(str(whole), whole.name).rstrip("."))
