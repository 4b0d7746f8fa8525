"""What becomes of an export whose making or proof breaks off."""

import errno
import json
from pathlib import Path

import pytest

from training.errors import ParityFailed, TrainingError
from training.export import making, run
from training.export.errors import NoRoomForExport
from training.export.spec import ExportFormat, ExportSpec, StoredType


class Exporter:
    """Writes a file, or not, and is asked by a process that dies."""

    def __init__(self, *, room: bool = True, death: str = "") -> None:
        self._room = room
        self._death = death

    def write(self, spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
        del spec, full_precision
        (folder / "weights").write_text("half")
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")

    def asker(self, spec: ExportSpec, folder: Path) -> list[str]:
        del spec, folder
        return ["tests.training.dying_asker", self._death]

    def stored(self, folder: Path) -> tuple[StoredType, ...]:
        del folder
        return (StoredType(name="float32", tensors=1, parameters=1, size_bytes=4),)


@pytest.mark.parametrize(
    ("exporter", "error", "message"),
    [
        (Exporter(room=False), NoRoomForExport, "nothing of it was kept"),
        (Exporter(death="full"), NoRoomForExport, "nothing of it was kept"),
        (
            Exporter(death="killed"),
            ParityFailed,
            "it cannot be loaded: its process ended by signal 9; 9 often means too little memory.",
        ),
        (
            Exporter(death="there is no such layer"),
            ParityFailed,
            "it cannot be loaded: ValueError: there is no such layer.",
        ),
    ],
    ids=["writing finds no room", "asking finds no room", "asking is killed", "asking fails"],
)
def test_what_breaks_off_leaves_a_reason_and_no_files(
    exporter: Exporter,
    error: type[TrainingError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(making.EXPORTERS, ExportFormat.PYTORCH, exporter)
    spec = ExportSpec(
        version_path=str(tmp_path),
        model_path=str(tmp_path),
        adapter=False,
        format=ExportFormat.PYTORCH,
        model_name="None",
    )
    with pytest.raises(error, match=message):
        making.make(spec, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"progress"}
    (tmp_path / "export.json").write_text(spec.model_dump_json())
    assert run.main([str(tmp_path)]) == 0
    outcome = json.loads((tmp_path / "result.json").read_bytes())
    assert message in outcome["error"]["message"]
    assert not (tmp_path / "files").exists()
