"""A model split among processes: what it saves, and what else must not differ from one that is whole."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.jobs import qa_rows, run_here
from tests.training.ranks import run_ranks
from training.config import Sharding, TrainingType
from training.devices import hardware

MakeJob = Callable[..., Path]

pytestmark = pytest.mark.slow


def saved(folder: Path) -> Mapping[str, Tensor]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def compute_in_bfloat16(_rank: int) -> None:
    hardware._cpu_has_bfloat16 = lambda: True


def test_what_freeze_leaves_alone_is_saved_as_the_base_has_it(
    make_job: MakeJob, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {
        "training_type": TrainingType.FREEZE,
        "trainable_layers": 1,
        "rows": qa_rows(12),
        "max_steps": 2,
    }
    one = make_job("one", **choices)
    two = make_job("two", sharding=Sharding.FULL, **choices)
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    run_here(one)
    assert run_ranks(two, 2, compute_in_bfloat16) == [0, 0]
    base, whole, split = (saved(each) for each in (tiny_model, one / "model", two / "model"))
    assert split.keys() == whole.keys() == base.keys()
    assert {each.dtype for each in split.values()} == {torch.float32}
    moved = {name for name, each in split.items() if not torch.equal(each, base[name])}
    assert moved
    assert moved == {name for name in base if ".layers.1." in name}
    configs = [json.loads((job / "model" / "config.json").read_text()) for job in (one, two)]
    assert configs[0] == configs[1]
