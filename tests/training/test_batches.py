"""Samples and orders are functions of the seed."""

import numpy as np

from training.steps.batches import Plan, sample


def test_a_sample_is_the_head_or_any_by_seed() -> None:
    assert sample(100, None, shuffle=True, seed=1) is None
    assert sample(100, 100, shuffle=True, seed=1) is None
    head = sample(100, 3, shuffle=False, seed=1)
    assert head is not None
    assert head.tolist() == [0, 1, 2]
    drawn, again, other = (sample(100, 10, shuffle=True, seed=seed) for seed in (1, 1, 2))
    assert drawn is not None
    assert drawn.tolist() == [6, 15, 18, 22, 28, 33, 48, 63, 69, 99]
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, other)


def test_a_plan_sees_each_row_once_an_epoch_in_another_order() -> None:
    plan = Plan(rows=21, rows_per_step=8, shuffle=True, seed=7)
    first = plan.steps(0)
    assert [len(step) for step in first] == [8, 8, 5]
    assert sorted(i for step in first for i in step) == list(range(21))
    assert first == plan.steps(0) != plan.steps(1)
    in_order = plan._replace(shuffle=False).steps(3)
    assert [i for step in in_order for i in step] == list(range(21))
