"""How a small pack is padded to a shape that was recorded, and what recording it will hold."""

from dataclasses import replace

import pytest
import torch

from tests.training.engine.models import make_model, make_rows
from training.engine.choice import choose
from training.engine.engine import Engine
from training.engine.graphs import Shape, kept_bytes, padded, shape_of, shape_of_rows
from training.engine.lanes import Lanes
from training.engine.packs import make_pack
from training.engine.reading import read
from training.engine.trainable import TrainableWeights


def test_packs_of_like_size_have_one_shape() -> None:
    shapes = {shape_of(make_pack(make_rows(40, 23 + more, 30))) for more in range(30)}
    assert shapes == {Shape(tokens=128, labels=64, rows=8, longest=128)}
    assert shape_of(make_pack(make_rows(64))) == Shape(128, 32, 8, 128)  # one token more, at least
    assert shape_of(make_pack(make_rows(600, 20, 20))) == Shape(768, 384, 8, 1024)


def test_what_is_added_is_a_row_of_its_own_that_bears_no_loss() -> None:
    pack = make_pack(make_rows(5, 3))
    found = padded(pack, Shape(tokens=12, labels=6, rows=8, longest=128))
    assert found.input_ids.tolist() == [*pack.input_ids.tolist(), 0, 0, 0, 0]
    assert found.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 0, 0, 0]
    assert found.borders.tolist() == [0, 5, 8, 12, 12, 12, 12, 12, 12]
    assert found.positions.tolist() == [*pack.positions.tolist(), 8]
    assert found.targets.tolist() == [*pack.targets.tolist(), -1]
    assert (found.rows, found.longest) == (pack.rows, 128)


def test_the_shape_of_rows_is_that_of_their_pack() -> None:
    for lengths in ((40, 23), (64,), (600, 20, 20), (5,) * 9):
        rows = make_rows(*lengths)
        assert shape_of_rows(rows) == shape_of(make_pack(rows))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_what_is_kept_is_what_a_pass_reads_for_each_shape_that_comes_twice(dropout: float) -> None:
    decoder = replace(read(make_model("llama")), dropout=dropout)
    rows = make_rows(40, 23, 30)
    pack = padded(make_pack(rows), shape_of(make_pack(rows)))
    pool = decoder.dropout_for(pack, seed=1)._pool
    reads = [pack.input_ids, pack.position_ids, pack.positions, pack.targets, pack.borders]
    blocks = [-(-each.nbytes // 512) for each in (*reads, *([] if pool is None else [pool]))]
    once, long = make_rows(300), make_rows(2048)
    kept = kept_bytes([rows, once, rows, long, long, rows], decoder)
    assert kept == 512 * (sum(blocks) + 3)  # and a number each for the share and the sums


def test_of_more_shapes_than_are_kept_the_largest_count() -> None:
    decoder = read(make_model("llama"))
    long = [make_rows(64 * count - 1) for count in range(1, 33)]
    short = [make_rows(*[63] * count) for count in range(2, 33)]
    by_shape = {shape_of_rows(rows): rows for rows in (*long, *short)}
    kept = sorted(kept_bytes([rows, rows], decoder) for rows in by_shape.values())
    assert len(kept) == 40
    assert kept_bytes([*long, *short] * 2, decoder) == sum(kept[-32:])


class Serving:
    """Stands for graphs, which only a GPU has."""

    def serve(self, tokens: int) -> bool:
        return tokens < 100


def test_what_may_be_recorded_is_laid_out_as_it_will_be() -> None:
    model, rows = make_model("llama"), make_rows(40, 23)
    device = torch.device("cpu")
    choice = choose(model, rows, device)
    weights = TrainableWeights(model, torch.float32)
    engine = Engine(choice, weights, Lanes(1), budget=512, device=device)
    assert (engine.laid_out(rows).tokens, engine.sizes(rows)) == (63, (63, 32))
    assert engine.recorded_bytes([rows, rows]) == 0
    engine._graphs = Serving()
    assert (engine.laid_out(rows).tokens, engine.sizes(rows)) == (64, (64, 32))
    assert engine.sizes(make_rows(40, 30)) == (128, 64)
    assert engine.laid_out(make_rows(100)).tokens == 100
    engine.close()
