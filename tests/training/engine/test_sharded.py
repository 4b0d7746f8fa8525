"""What a model that is split computes, each way, is what the library computes of it whole."""

from itertools import product
from pathlib import Path

import pytest
import torch

from tests.training.engine.models import difference, make_model, make_rows, reference
from tests.training.ranks import run_worlds
from training.devices.hardware import Hardware
from training.devices.layout import layout
from training.devices.parts import whole
from training.devices.sharding import shard
from training.devices.world import World
from training.engine.generic import GenericDecoder
from training.engine.gradients import Gradients
from training.engine.packs import make_pack
from training.engine.sharded import ShardedDecoder
from training.scores import Scores
from training.steps.turns import deal

pytestmark = pytest.mark.slow

ARCHITECTURES = ("llama", "qwen3", "gemma2, window and caps", "gpt2")  # tied and untied
WAYS = ((True, False), (False, False), (False, True))
"""Packed; padded, with the head applied by itself; padded, with logits at every position."""
CPU = Hardware(device="cpu", name="x", cores=1, bfloat16=False)


def test_every_way_gives_the_loss_and_gradients_of_one_process(tmp_path: Path) -> None:
    assert run_worlds(tmp_path, 2, compute_every_way) == [0, 0]


def compute_every_way(world: World) -> None:
    torch.set_num_threads(1)
    for name, (packs, whole_logits) in product(ARCHITECTURES, WAYS):
        compute(world, name, packs=packs, whole_logits=whole_logits)


def compute(world: World, name: str, *, packs: bool, whole_logits: bool) -> None:
    model, rows = make_model(name), make_rows(40, 23, 61, 9, 24, 2)
    loss, gradient = reference(model, rows)
    alike, gathered = GenericDecoder(model, None, packs=packs), layout(model, model)
    passage = shard(model, model, size=world.size, hardware=CPU)
    trained = list(model.parameters())
    decoder = ShardedDecoder(
        GenericDecoder(model, None, packs=packs),
        trained,
        passage,
        whole_logits,
        likeness=alike,
        layout=gathered,
    )
    pack = make_pack(deal(rows, world.size)[world.rank])
    share, gradients = 1 / sum(row.trained_tokens for row in rows), Gradients()
    sums = decoder.backward(pack, share=share, seed=1, gradients=gradients)
    scored = decoder.score(pack)
    for each in (sums, scored):
        total = world.total(Scores(each.loss, each.correct, len(pack.targets)))
        assert total.loss_sum == pytest.approx(loss, rel=1e-6)
    assert scored.correct == sums.correct
    parts = [gradients.take(each) for each in trained]
    assert all(each is not None for each in parts)
    found = torch.cat([whole(each).flatten() for each in parts])
    assert difference(found, gradient) <= 1e-6
