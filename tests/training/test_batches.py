"""Splits, orders and batches; and that how rows are batched changes no gradient."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from training.base_models import load_base
from training.batches import Plan, batches, sample, split
from training.hardware import Hardware
from training.loss import TokenLoss
from training.rendering import IGNORED, Row

FP32 = Hardware(device="cpu", name="test", cores=1, bfloat16=False)


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
    plan = Plan(rows=21, batch_size=4, accumulation=2, shuffle=True, seed=7)
    first = plan.steps(0)
    assert [[len(micro) for micro in step] for step in first] == [[4, 4], [4, 4], [4, 1]]
    assert sorted(i for step in first for micro in step for i in micro) == list(range(21))
    assert first == plan.steps(0) != plan.steps(1)
    in_order = plan._replace(shuffle=False).steps(3)
    assert [i for step in in_order for micro in step for i in micro] == list(range(21))


def test_batches_hold_rows_of_like_length() -> None:
    rows = [row(n, length) for n, length in enumerate([300, 10, 12, 280, 11])]
    shapes = [tuple(batch.input_ids.shape) for batch in batches(rows, padding_id=0)]
    assert shapes == [(2, 300), (3, 12)]
    assert sum(batch.tokens for batch in batches(rows, padding_id=0)) == 613


def test_padding_bears_no_loss_though_it_is_the_stop_token() -> None:
    long, short = row(1, 8), row(2, 6)
    stop = short.labels[-1]
    (batch,) = batches([long, short], padding_id=stop)
    assert batch.labels[1].tolist() == [*short.labels, IGNORED, IGNORED]
    assert batch.trained_tokens == 4 + 3


@pytest.fixture
def model(tiny_model: Path) -> PreTrainedModel:
    return load_base(str(tiny_model), torch.float32)


def gradients(model: PreTrainedModel, micro_batches: Sequence[Sequence[Row]]) -> torch.Tensor:
    loss = TokenLoss(model, FP32, padding_id=0, probe=micro_batches[0][0])
    assert not loss.whole_forward
    model.zero_grad()
    tokens = sum(each.trained_tokens for rows in micro_batches for each in rows)
    for rows in micro_batches:
        loss.backward(rows, step_tokens=tokens)
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def test_accumulating_eight_by_one_is_two_by_four(model: PreTrainedModel) -> None:
    rows = [row(n, length) for n, length in enumerate([5, 40, 9, 17, 33, 8, 21, 12])]
    ones = gradients(model, [[each] for each in rows])
    fours = gradients(model, [rows[:4], rows[4:]])
    whole = gradients(model, [rows])
    assert (ones - fours).abs().max() <= 1e-6
    assert (ones - whole).abs().max() <= 1e-6
    assert ones.abs().max() > 1e-3


def test_the_loss_is_that_of_the_library(model: PreTrainedModel) -> None:
    each = row(5, 30)
    scores = TokenLoss(model, FP32, padding_id=0, probe=each).score([each])
    with torch.no_grad():
        ids, labels = torch.tensor([each.input_ids]), torch.tensor([each.labels])
        theirs = model(input_ids=ids, labels=labels).loss.item()
    assert scores.tokens == each.trained_tokens == 15
    assert scores.loss == pytest.approx(theirs, rel=1e-6)


def test_a_row_scores_the_same_alone_and_among_others(model: PreTrainedModel) -> None:
    short, long = row(1, 9), row(2, 60)
    loss = TokenLoss(model, FP32, padding_id=0, probe=short)
    alone = loss.score([short]).loss_sum + loss.score([long]).loss_sum
    assert loss.score([short, long]).loss_sum == pytest.approx(alone, rel=1e-6)


def test_an_architecture_that_scales_its_logits_takes_the_whole_forward(
    model: PreTrainedModel,
) -> None:
    model.config.final_logit_softcapping = 30.0
    assert TokenLoss(model, FP32, padding_id=0, probe=row(1)).whole_forward


def test_a_head_that_does_more_is_found_by_comparison(model: PreTrainedModel) -> None:
    model.register_forward_hook(
        lambda _module, _inputs, output: output | {"logits": output.logits * 1.01}
    )
    loss = TokenLoss(model, FP32, padding_id=0, probe=row(1))
    assert loss.whole_forward
