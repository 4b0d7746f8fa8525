"""Checkpoints are whole, or they are not there."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from training.errors import DiskFull
from training.files import damage, disk_full_named, whole_folder
from training.steps.checkpoints import Checkpoint, CheckpointStore, Tensors, checkpoint_name
from training.steps.state import TrainingState

TENSORS = Tensors(
    weights={"w": torch.arange(6.0).reshape(2, 3)},
    optimizer={"0.step": torch.tensor(3.0)},
)


def save(store: CheckpointStore, step: int) -> str:
    state = TrainingState(step=step, step_in_epoch=step)
    checkpoint = Checkpoint(name=checkpoint_name(state), metrics=None, state=state)
    store.save(checkpoint, TENSORS)
    return checkpoint.name


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    name = save(store, 7)
    assert name == "epoch-001-step-000007"
    newest = CheckpointStore(tmp_path).newest_whole()
    assert newest.checkpoint is not None
    assert (newest.checkpoint.name, newest.checkpoint.state.step) == (name, 7)
    assert newest.damaged == ()
    loaded = store.load(name)
    assert torch.equal(loaded.weights["w"], TENSORS.weights["w"])
    assert torch.equal(loaded.optimizer["0.step"], TENSORS.optimizer["0.step"])


@pytest.mark.parametrize("harm", ["cut", "flip", "unlink", "manifest"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path, harm: str) -> None:
    store = CheckpointStore(tmp_path)
    older, newer = save(store, 1), save(store, 2)
    weights = tmp_path / newer / "weights.safetensors"
    content = weights.read_bytes()
    match harm:
        case "cut":
            weights.write_bytes(content[:-1])
        case "flip":
            weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "unlink":
            weights.unlink()
        case "manifest":
            (tmp_path / newer / "manifest.json").unlink()
    newest = store.newest_whole()
    assert newest.checkpoint is not None
    assert newest.checkpoint.name == older
    assert [name for name, _ in newest.damaged] == [newer]


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".epoch-001-step-000001.partial").mkdir()
    (tmp_path / ".epoch-001-step-000002.removed").mkdir()
    store = CheckpointStore(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert store.newest_whole().checkpoint is None


def test_a_full_disk_leaves_older_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    older = save(store, 1)
    target = tmp_path / "epoch-001-step-000002"
    with pytest.raises(DiskFull, match="epoch-001-step-000002"):
        _fill_the_disk(target)
    assert [path.name for path in tmp_path.iterdir()] == [older]
    assert damage(tmp_path / older) is None


def test_a_full_disk_is_known_from_the_weight_writer_too(tmp_path: Path) -> None:
    message = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(DiskFull), disk_full_named(tmp_path):
        raise SafetensorError(message)


def test_a_really_full_device_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(DiskFull), disk_full_named(tmp_path):
        Path("/dev/full").write_bytes(b"x")


def _fill_the_disk(target: Path) -> None:
    with whole_folder(target) as folder:
        (folder / "weights.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
