"""Splits, samples and orders are functions of the seed."""

from training.data.rendering import IGNORED, Row
from training.steps.batches import Plan, sample, split


def row(line: int, length: int = 8, content: bytes | None = None) -> Row:
    ids = [(7 * line + 3 * i) % 300 + 3 for i in range(length)]
    labels = [IGNORED] * (length // 2) + ids[length // 2 :]
    return Row(line, ids, labels, content or str(line).encode())


def test_a_split_is_seeded_and_loses_no_row() -> None:
    rows = [row(line) for line in range(50)]
    first, again, other = split(rows, 0.2, 1), split(rows, 0.2, 1), split(rows, 0.2, 2)
    assert (len(first.training), len(first.validation)) == (40, 10)
    assert first == again
    assert first.validation != other.validation
    assert sorted(first.training + first.validation) == rows


def test_duplicates_stay_on_one_side() -> None:
    rows = [row(line, content=str(line % 10).encode()) for line in range(100)]
    parts = split(rows, 0.25, 3)
    assert len(parts.validation) == 20
    held_out = {each.content for each in parts.validation}
    assert held_out.isdisjoint(each.content for each in parts.training)


def test_rows_that_are_all_the_same_are_all_trained_on() -> None:
    parts = split([row(line, content=b"same") for line in range(10)], 0.2, 1)
    assert (len(parts.training), len(parts.validation)) == (10, 0)


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
