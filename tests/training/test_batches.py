"""Samples and orders are functions of the seed."""

from training.steps.batches import Plan, sample


def test_a_sample_is_the_head_or_any_by_seed() -> None:
    items = list(range(100))
    assert sample(items, 3, shuffle=False, seed=1) == [0, 1, 2]
    assert sample(items, None, shuffle=True, seed=1) == items
    drawn = sample(items, 10, shuffle=True, seed=1)
    assert (len(drawn), drawn) == (10, sorted(drawn))
    assert (
        drawn == sample(items, 10, shuffle=True, seed=1) != sample(items, 10, shuffle=True, seed=2)
    )


def test_a_plan_sees_each_row_once_an_epoch_in_another_order() -> None:
    plan = Plan(rows=21, rows_per_step=8, shuffle=True, seed=7)
    first = plan.steps(0)
    assert [len(step) for step in first] == [8, 8, 5]
    assert sorted(i for step in first for i in step) == list(range(21))
    assert first == plan.steps(0) != plan.steps(1)
    in_order = plan._replace(shuffle=False).steps(3)
    assert [i for step in in_order for i in step] == list(range(21))
