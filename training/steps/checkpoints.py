"""Resumable snapshots of a run: whole or absent, verified before use, no pickle.

JOB_DIR/checkpoints/epoch-002-step-000120/
    weights.safetensors     the trainable parameters
    optimizer.safetensors   the optimizer's memory
    checkpoint.json         position, history, early stopping
    manifest.json           size and sha256 of each of them

None is ever replaced. An epoch's last step may be saved twice, amid the epoch and with its metrics: the
second is then named `epoch-002-step-000120-2`, and the first is deleted, if retention says so, once
that one is whole. A folder cannot take the place of another in one step on every file system: rename(2)
refuses a target that is not empty, and NFS and FUSE know no RENAME_EXCHANGE.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Final, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from training.config import Frozen
from training.files import damage, remove_folder, remove_leftovers, size_of, whole_folder
from training.steps.state import EpochMetrics, TrainingState

_DESCRIPTION: Final = "checkpoint.json"
_NAME: Final = re.compile(r"epoch-\d+-step-(\d+)(?:-(\d+))?")


class Checkpoint(Frozen):
    """What a snapshot is, without its tensors."""

    name: str
    metrics: EpochMetrics | None
    """Of the epoch it closes; None for one saved amid an epoch."""
    state: TrainingState
    requested: bool = False
    """Whether somebody asked for it, so that retention leaves it alone."""

    @property
    def score(self) -> float | None:
        """The loss it is judged by."""
        return None if self.metrics is None else self.metrics.score

    @property
    def step(self) -> int:
        """Optimizer steps done when it was saved."""
        return self.state.step


class Tensors(NamedTuple):
    """The tensors of a snapshot."""

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


class Newest(NamedTuple):
    """The newest checkpoint that is whole, and why newer ones were passed over."""

    checkpoint: Checkpoint | None
    damaged: tuple[tuple[str, str], ...]
    """(name, reason) of each."""


def checkpoint_name(state: TrainingState) -> str:
    """The name of the first snapshot of a state: its epoch, counted from 1, and its step."""
    epoch = state.epoch + (1 if state.step_in_epoch else 0)
    return f"epoch-{epoch:03d}-step-{state.step:06d}"


class CheckpointStore:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)

    def free_name(self, state: TrainingState) -> str:
        """A name for the snapshot of a state that no other has, nor one that is damaged."""
        name = checkpoint_name(state)
        further = (f"{name}-{number}" for number in count(2))
        return next(each for each in chain([name], further) if not (self.folder / each).exists())

    def save(self, checkpoint: Checkpoint, tensors: Tensors) -> int:
        """Write a checkpoint under a name that is free; its size in bytes.

        Raises `DiskFull`, older ones left intact.
        """
        path = self.folder / checkpoint.name
        with whole_folder(path) as temporary:
            for kind, named in tensors._asdict().items():
                plain = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
                save_file(plain, temporary / f"{kind}.safetensors")
            (temporary / _DESCRIPTION).write_text(checkpoint.model_dump_json() + "\n")
        return size_of(path)

    def newest_whole(self) -> Newest:
        """The checkpoint to go on from, its checksums verified; damaged ones are set aside."""
        damaged: list[tuple[str, str]] = []
        for path in sorted(self._folders(), key=_place_of, reverse=True):
            reason = damage(path)
            if reason is None:
                return Newest(_described(path), tuple(damaged))
            damaged.append((path.name, reason))
            remove_folder(path)
        return Newest(None, tuple(damaged))

    def all(self) -> list[Checkpoint]:
        """Every checkpoint whose files are there in full length, oldest first."""
        whole = [path for path in self._folders() if damage(path, thorough=False) is None]
        return [_described(path) for path in sorted(whole, key=_place_of)]

    def is_whole(self, name: str) -> bool:
        """Whether a checkpoint is there and its checksums hold."""
        return damage(self.folder / name) is None

    def load(self, name: str) -> Tensors:
        """The tensors of a checkpoint, on the CPU."""
        path = self.folder / name
        return Tensors(*(load_file(path / f"{kind}.safetensors") for kind in Tensors._fields))

    def size_of(self, name: str) -> int:
        """Bytes on disk."""
        return size_of(self.folder / name)

    def remove(self, name: str) -> None:
        """Delete a checkpoint."""
        remove_folder(self.folder / name)

    def _folders(self) -> Iterator[Path]:
        return self.folder.glob("epoch-*-step-*")


def _described(path: Path) -> Checkpoint:
    return Checkpoint.model_validate_json((path / _DESCRIPTION).read_bytes())


def _place_of(path: Path) -> tuple[int, int, str]:
    """Sorts names by step, and those of one step as they were saved; a name that was tampered with
    comes first and fails its manifest."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return (-1, 0, path.name)
    return (int(match[1]), int(match[2] or 1), path.name)
