"""Steps, learning rates, and the small policies that read them."""

import pytest

from training.config import EarlyStopping, TrainingConfig, TrainingType, resolve
from training.steps.early_stopping import Patience
from training.steps.overfitting import began_to_overfit
from training.steps.retention import best, best_names, superfluous
from training.steps.schedule import learning_rate, steps_per_epoch, total_steps, validation_rows
from training.steps.state import EpochMetrics


def config(**choices: object) -> TrainingConfig:
    return resolve(TrainingType.LORA, {"learning_rate": 1.0, **choices})


def rates(steps: int, **choices: object) -> list[float]:
    return [learning_rate(step, config=config(**choices), steps=steps) for step in range(steps)]


def test_a_constant_rate_is_reached_after_the_warm_up() -> None:
    assert rates(5, scheduler="CONSTANT", warmup_steps=3) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_linear_rate_falls_towards_zero_without_reaching_it() -> None:
    assert rates(4, scheduler="LINEAR") == [1.0, 0.75, 0.5, 0.25]


def test_a_cosine_rate_is_halved_in_the_middle() -> None:
    assert rates(4, scheduler="COSINE") == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_the_decay_begins_where_the_warm_up_ends() -> None:
    assert rates(6, scheduler="LINEAR", warmup_steps=2) == pytest.approx(
        [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25]
    )


def test_steps_count_batches_and_accumulation() -> None:
    eight_by_two = config(batch_size=8, gradient_accumulation_steps=2, epochs=3)
    assert (steps_per_epoch(33, eight_by_two), total_steps(33, eight_by_two)) == (3, 9)
    assert total_steps(33, eight_by_two.model_copy(update={"max_steps": 4})) == 4


def test_at_least_one_row_is_held_out_where_two_exist() -> None:
    assert [validation_rows(n, 0.1) for n in (0, 1, 2, 5, 20, 200)] == [0, 0, 1, 1, 2, 20]
    assert validation_rows(2, 0.9) == 1
    assert validation_rows(200, 0.0) == 0


def test_early_stopping_waits_for_its_patience() -> None:
    policy = EarlyStopping(enabled=True, patience=2, min_delta=0.1)
    memory, seen = Patience(), []
    for epoch, loss in enumerate([1.0, 0.8, 0.75, 0.71], start=1):
        memory = memory.after(epoch, loss, policy)
        seen.append(memory.is_exhausted(policy))
    assert seen == [False, False, False, True]
    assert (memory.best_epoch, memory.best_loss) == (2, 0.8)


def test_an_equal_loss_is_no_gain_even_without_a_margin() -> None:
    policy = EarlyStopping(enabled=True, patience=1, min_delta=0.0)
    memory = Patience().after(1, 0.5, policy).after(2, 0.5, policy)
    assert memory.is_exhausted(policy)


class Saved:
    def __init__(
        self, name: str, step: int, score: float | None, *, requested: bool = False
    ) -> None:
        self.name, self.step, self.score, self.requested = name, step, score, requested


def test_retention_keeps_the_best_and_the_last() -> None:
    saved = [Saved("a", 1, 0.5), Saved("b", 2, 0.2), Saved("c", 3, 0.3), Saved("d", 4, 0.9)]
    assert superfluous(saved, keep_best=1) == ["a", "c"]
    assert superfluous(saved, keep_best=2) == ["a"]
    assert superfluous(saved, keep_best=3) == []


def test_a_checkpoint_amid_an_epoch_is_kept_only_while_it_is_the_last() -> None:
    saved = [Saved("a", 1, 0.5), Saved("stopped", 2, None)]
    assert superfluous(saved, keep_best=1) == []
    assert superfluous([*saved, Saved("c", 3, 0.4)], keep_best=2) == ["stopped"]
    assert best(saved) == "a"


def test_what_somebody_asked_for_is_kept_and_crowds_out_none_of_the_best() -> None:
    saved = [
        Saved("a", 1, 0.5),
        Saved("asked", 2, None, requested=True),
        Saved("b", 3, 0.4),
        Saved("worst", 4, 0.9, requested=True),
        Saved("stopped", 5, None),
    ]
    assert superfluous(saved, keep_best=1) == ["a"]
    assert superfluous(saved, keep_best=2) == []
    assert best_names(saved, 2) == ["b", "a"]


def test_of_equal_checkpoints_the_earliest_is_best() -> None:
    assert best([Saved("b", 2, 0.5), Saved("a", 1, 0.5)]) == "a"
    assert best([]) is None


def test_overfitting_is_told_once_when_two_epochs_in_a_row_part() -> None:
    losses = [(1.0, 1.0), (0.8, 0.9), (0.6, 0.95), (0.4, 1.0), (0.2, 1.1)]
    history = [
        EpochMetrics(
            epoch=n,
            training_loss=training,
            training_accuracy=0.5,
            validation_loss=validation,
            validation_accuracy=0.5,
        )
        for n, (training, validation) in enumerate(losses, start=1)
    ]
    assert [began_to_overfit(history[:n]) for n in range(1, 6)] == [
        False,
        False,
        False,
        True,
        False,
    ]
