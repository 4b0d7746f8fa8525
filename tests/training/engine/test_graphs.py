"""How a small pack is padded to a shape that was recorded."""

from tests.training.engine.models import make_rows
from training.engine.graphs import Shape, padded, shape_of
from training.engine.packs import make_pack


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
