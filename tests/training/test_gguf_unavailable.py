"""Where llama.cpp is not there, an export says so before it does anything."""

from pathlib import Path

import pytest

from training.export import errors
from training.export.gguf import exporter
from training.export.spec import ExportFormat, ExportSpec


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
