"""Checkpoints are whole, or they are not there."""

import errno
import signal
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tests.training.forked import call_forked, left
from tests.training.killing import kill_at_call
from training.errors import DiskFull
from training.files import damage, disk_full_named, whole_folder
from training.steps.checkpoints import Checkpoint, CheckpointStore, Tensors, checkpoint_name
from training.steps.retention import superfluous
from training.steps.state import EpochMetrics, TrainingState

TENSORS = Tensors(
    weights={"w": torch.arange(6.0).reshape(2, 3)},
    optimizer={"0.step": torch.tensor(3.0)},
)


def save(store: CheckpointStore, step: int) -> str:
    state = TrainingState(step=step, step_in_epoch=step)
    checkpoint = Checkpoint(name=checkpoint_name(state), metrics=None, state=state)
    store.save(checkpoint, TENSORS)
    return checkpoint.name


AMID = TrainingState(step=3, step_in_epoch=3)
CLOSED = TrainingState(epoch=1, step=3)


def save_again(folder: Path, kill_at: int = 0) -> None:
    """Close an epoch whose last step is saved already, and keep the newest checkpoint alone."""
    store = CheckpointStore(folder)
    kill_at_call(folder, kill_at)
    metrics = EpochMetrics(
        epoch=1,
        training_loss=1.0,
        training_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=None,
    )
    name = store.free_name(CLOSED)
    store.save(Checkpoint(name=name, metrics=metrics, state=CLOSED), TENSORS)
    for older in superfluous(store.all(), keep_best=1):
        store.remove(older)


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


def test_a_step_that_is_saved_again_has_a_name_of_its_own_and_is_the_newer(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    amid = Checkpoint(name=store.free_name(AMID), metrics=None, state=AMID, requested=True)
    store.save(amid, TENSORS)
    save_again(tmp_path)
    names = [each.name for each in store.all()]
    assert names == ["epoch-001-step-000003", "epoch-001-step-000003-2"]
    assert store.free_name(CLOSED) == "epoch-001-step-000003-3"
    newest = store.newest_whole().checkpoint
    assert newest is not None
    assert (newest.name, newest.state) == (names[1], CLOSED)


@pytest.mark.slow
def test_a_kill_at_any_call_of_a_second_save_leaves_the_first_or_the_second_whole(
    tmp_path: Path,
) -> None:
    seen: list[list[tuple[str, bool]]] = []
    for call in count(1):
        folder = tmp_path / str(call)
        store = CheckpointStore(folder)
        store.save(Checkpoint(name=store.free_name(AMID), metrics=None, state=AMID), TENSORS)
        code = left(call_forked(save_again, folder, call))
        whole = [path.name for path in folder.glob("epoch-*") if damage(path) is None]
        assert whole != []
        newest = CheckpointStore(folder).newest_whole()
        assert newest.checkpoint is not None
        assert (newest.damaged, newest.checkpoint.name) == ((), max(whole))
        assert torch.equal(store.load(newest.checkpoint.name).weights["w"], TENSORS.weights["w"])
        seen.append(sorted((name, name == max(whole)) for name in whole))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    first, second = "epoch-001-step-000003", "epoch-001-step-000003-2"
    assert seen[0] == [(first, True)]
    assert [(first, False), (second, True)] in seen
    assert seen[-1] == [(second, True)]
    assert len(seen) > 15


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
