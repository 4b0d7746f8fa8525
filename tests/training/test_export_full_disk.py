"""An export on a disk that really fills up leaves the reason, and nothing of itself."""

import json
from pathlib import Path

import pytest

from tests.training.forked import call_forked, left
from tests.training.gguf_files import needs_llama
from tests.training.small_disk import NOT_ALLOWED, mount_small_disk
from training.export.errors import NoRoomForExport
from training.export.spec import ExportFormat, ExportSpec, WeightType


def export_on_small_disk(spec: str, export_dir: Path, size_bytes: int, told: Path) -> None:
    """Run the export child on a disk of this size, and tell outside of it what it left."""
    from training.export import run  # libraries that are there already in the child

    mount_small_disk(export_dir, size_bytes)
    (export_dir / "export.json").write_text(spec)
    assert run.main([str(export_dir)]) == 0
    names = sorted(str(path.relative_to(export_dir)) for path in export_dir.rglob("*"))
    told.write_text(
        json.dumps(
            {"outcome": json.loads((export_dir / "result.json").read_bytes()), "left": names}
        )
    )


@pytest.mark.parametrize(
    ("wanted", "weight_type", "size_bytes"),
    [
        pytest.param(ExportFormat.SAFETENSORS, None, 10**6, id="safetensors"),
        pytest.param(ExportFormat.PYTORCH, None, 10**6, id="pytorch"),
        pytest.param(ExportFormat.GGUF, WeightType.F32, 10**6, id="gguf", marks=needs_llama),
        pytest.param(
            ExportFormat.GGUF, WeightType.Q8_0, 32 * 10**5, id="gguf-quantised", marks=needs_llama
        ),
    ],
)
def test_a_disk_that_fills_up_is_named_and_nothing_is_left(
    tiny_model: Path,
    tmp_path: Path,
    wanted: ExportFormat,
    weight_type: WeightType | None,
    size_bytes: int,
) -> None:
    spec = ExportSpec(
        version_path=str(tiny_model),
        model_path=str(tiny_model),
        adapter=False,
        format=wanted,
        weight_type=weight_type,
        model_name="Large",
    )
    folder, told = tmp_path / "export", tmp_path / "told.json"
    folder.mkdir()
    child = call_forked(export_on_small_disk, spec.model_dump_json(), folder, size_bytes, told)
    code = left(child)
    if code == NOT_ALLOWED:
        pytest.skip("this machine lets no user mount a disk")
    assert code == 0
    found = json.loads(told.read_bytes())
    assert found["outcome"] == {"error": NoRoomForExport().failure().model_dump(mode="json")}
    assert set(found["left"]) == {"export.json", "lock", "progress", "pulse", "result.json"}
