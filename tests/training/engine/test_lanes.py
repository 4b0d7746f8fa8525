"""Lanes let go of what a micro-batch held that failed."""

import gc
import weakref

import pytest

from training.engine.lanes import Lanes


class Held:
    """Stands for what a pass keeps."""


def test_what_a_failed_pass_held_is_let_go_of_at_once() -> None:
    lanes, seen = Lanes(2, threads=1), []

    def work(_place: int, _item: int) -> None:
        held = Held()
        seen.append(weakref.ref(held))
        raise RuntimeError("out of memory")

    gc.disable()
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            lanes.run(work, [1, 2])
        lanes.close()
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()
