"""Trained versions, and what exports hold of them, in tests of exporters."""

import contextlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.tiny_model import make_architecture
from tests.training.jobs import qa_rows, run_here, spec_of, write_job
from training.export.spec import ExportFormat, ExportSpec

LICENCE = "Permission is hereby granted."


def trained_version(
    folder: Path, architecture: str, *, halved: bool = False, **choices: object
) -> ExportSpec:
    """A version of a base that is called small and says under which licence it stands.

    `halved` stores the base in bf16.
    """
    base = make_architecture(folder / "small", architecture)
    (base / "README.md").write_text(
        "---\nlicense: other\nlicense_name: careful\nlicense_link: LICENSE\n---\n"
    )
    (base / "LICENSE").write_text(LICENCE)
    if halved:
        halve(base)
    job = write_job(folder / "job", base, qa_rows(20), learning_rate=2e-2, epochs=4, **choices)
    run_here(job)
    config = spec_of(job).config
    return ExportSpec(
        version_path=str(job / "model"),
        model_path=str(base),
        adapter=config.adapts,
        quantised=config.quantised,
        model_name="Tuned",
        base_name="someone/small",
        job_path=str(job),
    )


def halve(model: Path) -> None:
    """Store a model's weights in bf16."""
    weights = load_file(model / "model.safetensors")
    halves = {name: each.to(torch.bfloat16) for name, each in weights.items()}
    save_file(halves, model / "model.safetensors", metadata={"format": "pt"})


def in_format(spec: ExportSpec, wanted: ExportFormat, **changes: object) -> ExportSpec:
    """The same version to be written otherwise."""
    return spec.model_copy(update={"format": wanted, **changes})


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file of a folder by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def told_by_its_readme(folder: Path) -> str:
    """What the Python in a folder's README.md prints when it is run there."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    before, printed = Path.cwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {})
    finally:
        os.chdir(before)
    return printed.getvalue()
