"""What processes that train together tell one another."""

from pathlib import Path

import pytest
import torch
from torch.nn import Parameter

from tests.training.ranks import run_worlds
from training.devices import world as worlds
from training.devices.errors import ProcessesDisagree
from training.devices.world import WORLD_OF_ONE, World
from training.scores import Scores


@pytest.mark.slow
def test_words_reach_every_process(tmp_path: Path) -> None:
    assert run_worlds(tmp_path, 3, hear_words) == [0, 0, 0]


def hear_words(world: World) -> None:
    assert (world.size, world.leads, world.is_sharded) == (3, world.rank == 0, False)
    assert world.any_of(world.rank == 2)
    assert not world.any_of(False)
    assert world.from_leader(lambda: ("chosen by", world.rank)) == ("chosen by", 0)
    assert world.total(Scores(0.1 * (world.rank + 1), world.rank, 10)) == Scores(
        0.1 + 0.2 + 0.1 * 3, 3, 30
    )
    assert world.most(world.rank * 2) == 4
    assert world.add_up_integers([2**62, world.rank]) == [-(2**62), 3]
    world.raise_unless_same("rows", [b"these", b"rows"])
    with pytest.raises(ProcessesDisagree, match="do not have the same rows"):
        world.raise_unless_same("rows", [b"row", str(world.rank).encode()])


@pytest.mark.slow
def test_gradients_are_added_up_whoever_has_them(tmp_path: Path) -> None:
    assert run_worlds(tmp_path, 2, add_up_gradients) == [0, 0]


def add_up_gradients(world: World) -> None:
    worlds.BUCKET_ELEMENTS = 5  # type: ignore[misc]  # so that there are several
    everybodys, leaders, nobodys = (Parameter(torch.zeros(2, 2)) for _ in range(3))
    halves = Parameter(torch.zeros(3, dtype=torch.bfloat16))
    everybodys.grad = torch.full((2, 2), 1.0 + world.rank)
    halves.grad = torch.full((3,), 0.5, dtype=torch.bfloat16)
    if world.leads:
        leaders.grad = torch.arange(4.0).reshape(2, 2)
    world.add_up_gradients([everybodys, leaders, nobodys, halves])
    assert everybodys.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert leaders.grad is not None
    assert leaders.grad.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert nobodys.grad is None
    assert (halves.grad.tolist(), halves.grad.dtype) == ([1.0] * 3, torch.bfloat16)


def test_alone_a_process_asks_nobody() -> None:
    assert WORLD_OF_ONE.leads
    assert WORLD_OF_ONE.any_of(True)
    assert WORLD_OF_ONE.most(5) == 5
    assert WORLD_OF_ONE.from_leader(lambda: 7) == 7
    assert WORLD_OF_ONE.total(Scores(1.5, 2, 3)) == Scores(1.5, 2, 3)
    assert WORLD_OF_ONE.through(lambda: "ran") == "ran"
    WORLD_OF_ONE.add_up_gradients([Parameter(torch.zeros(1))])
