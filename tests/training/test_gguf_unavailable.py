"""Where llama.cpp is not there, an export says so before it does anything, and so does a worker."""

from pathlib import Path

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from training.export import errors
from training.export.gguf import exporter
from training.export.gguf.architectures import ARCHITECTURES
from training.export.spec import GGUF_ARCHITECTURES, ExportFormat, ExportSpec


def test_without_llama_cpp_an_export_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "llama_cpp" else name)
    spec = ExportSpec(
        version_path="nowhere",
        model_path="nowhere",
        adapter=True,
        format=ExportFormat.GGUF,
        model_name="Tuned",
    )
    with pytest.raises(errors.ExporterUnavailable) as caught:
        exporter.write(spec, tmp_path)
    failure = caught.value.failure()
    assert failure.code == "EXPORTER_UNAVAILABLE"
    assert failure.message == "GGUF needs llama_cpp, which the worker does not have."
    assert failure.remedy is not None
    assert "tunery[gguf]" in failure.remedy
    assert not list(tmp_path.iterdir())
    assert errors.available_formats() == tuple(
        each for each in ExportFormat if each is not ExportFormat.GGUF
    )


def test_models_that_are_refused_before_an_export_are_those_that_it_would_refuse() -> None:
    classes = {MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind] for kind in ARCHITECTURES}
    assert classes == GGUF_ARCHITECTURES
