"""GGUF files of tiny models, and what llama.cpp says of them beside what the models say."""

import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.sentencepiece import Blanks, make_sentencepiece
from tests.tiny_model import make_architecture
from training.export.answers import Answers
from training.export.gguf import exporter
from training.export.parity import compare, questions_of, trained_answers
from training.export.questions import write_questions
from training.export.spec import ExportFormat, ExportSpec, Parity, WeightType

needs_llama = pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="llama-cpp-python is not compiled yet: make llama"
)
"""What a test is marked with that asks llama.cpp: a module that was left out whole would be collected by
one process and not by another, where it is installed between the two."""


def spec_of(folder: Path, **changes: object) -> ExportSpec:
    """Of a model whose own weights are the version."""
    spec = ExportSpec(
        version_path=str(folder),
        model_path=str(folder),
        adapter=False,
        format=ExportFormat.GGUF,
        weight_type=WeightType.F32,
        model_name="Tuned",
    )
    return spec.model_copy(update=changes)


def written(spec: ExportSpec, folder: Path) -> Path:
    """The folder, with a GGUF export in it."""
    folder.mkdir(parents=True)
    exporter.write(spec, folder)
    return folder


def parity(spec: ExportSpec, folder: Path) -> Parity:
    """How the file in a folder compares with the version, asked in this process."""
    questions = questions_of(spec)
    _, *arguments = exporter.asker(spec, folder)
    with TemporaryDirectory(dir=folder.parent) as out_dir:
        write_questions(Path(out_dir) / "questions.json", questions)
        from training.export.gguf import asking  # llama.cpp may be compiled later than this is read

        asking.main([*arguments, out_dir])
        return compare(trained_answers(spec, questions), Answers.read(Path(out_dir)))


def changed(model: Path, folder: Path, **files: Mapping[str, Any]) -> Path:
    """A copy of a model with other values in its JSON files, by their stems."""
    shutil.copytree(model, folder)
    for stem, values in files.items():
        path = folder / f"{stem}.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | dict(values)))
    return folder


def with_sentencepiece(
    folder: Path, architecture: str, blanks: Blanks, *, strips: bool = False
) -> Path:
    """A model whose tokenizer is one in the manner of SentencePiece."""
    make_architecture(folder, architecture)
    size = make_sentencepiece(folder, blanks, strips=strips)
    path = folder / "model.safetensors"
    weights = load_file(path)
    for name, values in weights.items():
        if values.shape[0] == 384:
            weights[name] = values.repeat(2, 1)[:size].contiguous()
    save_file(weights, path, metadata={"format": "pt"})
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    for stem in ("config", "generation_config"):
        file = folder / f"{stem}.json"
        content = json.loads(file.read_bytes()) | ends
        file.write_text(json.dumps(content | ({"vocab_size": size} if stem == "config" else {})))
    return folder
