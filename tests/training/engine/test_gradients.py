"""How gradients that wait for one another are added up."""

import pytest
import torch
from torch.nn import Parameter

from training.engine.gradients import Gradients


def test_gradients_that_wait_are_all_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.engine.gradients._waits", lambda gradient: gradient.numel() < 4)
    small, large, idle = (Parameter(torch.zeros(n)) for n in (2, 4, 2))
    gradients = Gradients()
    gradients.add(small, torch.tensor([1.0, 2.0]).bfloat16())
    gradients.add(large, torch.ones(4).bfloat16())
    gradients.add(small, torch.tensor([10.0, 20.0]).bfloat16())  # the same one twice in a pass
    gradients.settle()
    gradients.add(small, torch.tensor([100.0, 200.0]).bfloat16())
    found = [gradients.take(each) for each in (small, large, idle)]
    assert [each if each is None else each.tolist() for each in found] == [
        [111.0, 222.0],
        [1.0, 1.0, 1.0, 1.0],
        None,
    ]
    gradients.add(small, torch.tensor([5.0, 6.0]))
    gradients.clear()
    assert gradients.take(small) is None


def test_sums_that_are_begun_start_at_zero() -> None:
    first, second = Parameter(torch.zeros(2)), Parameter(torch.zeros(2))
    gradients = Gradients()
    for each in (first, second):
        gradients.add(each, torch.ones(2))
    gradients.take(second)
    gradients.begin_all()
    taken = [gradients.take(each) for each in (first, second)]
    assert [each.tolist() for each in taken if each is not None] == [[1.0, 1.0], [0.0, 0.0]]


def test_a_large_gradient_of_another_dtype_is_added_in_parts_to_the_same_sum() -> None:
    torch.manual_seed(0)
    table = Parameter(torch.zeros(1100, 1000))
    first, second = (torch.randn(1100, 1000).bfloat16() for _ in range(2))
    gradients = Gradients()
    gradients.add(table, first)
    gradients.add(table, second)
    total = gradients.take(table)
    assert total is not None
    assert torch.equal(total, first.float() + second.float())
