"""What lies before a run that is prepared."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.training.jobs import qa_rows, spec_of
from training.data.rows import TokenRow
from training.memory import workload as module
from training.memory.forecast import heaviest
from training.memory.workload import remaining, workload
from training.preparation import Prepared, prepare

MakeJob = Callable[..., Path]


def prepared(job: Path) -> Prepared:
    found = prepare(spec_of(job), job, emit=lambda _event: None, should_stop=lambda: False)
    assert found is not None
    return found


@pytest.mark.parametrize(("max_steps", "epochs"), [(None, 5), (2, 1), (3, 1), (4, 2)])
def test_epochs_that_max_steps_cuts_off_are_neither_scored_nor_saved(
    make_job: MakeJob, max_steps: int | None, epochs: int
) -> None:
    run = prepared(make_job(epochs=5, max_steps=max_steps))  # three steps an epoch
    found = remaining(run, answering_seconds=0.0)
    scored = sum(len(row.input_ids) for row in run.run.validation)
    weights = sum(each.nbytes for each in run.run.stepper.engine.weights.masters.values())
    assert len(found.step_tokens) == (max_steps or 15)
    assert found.scored_tokens == (epochs + 1) * scored
    assert found.written_bytes == epochs * 3 * weights + weights


def test_of_many_rows_the_heaviest_steps_are_searched(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(make_job(rows=qa_rows(60), epochs=1, batch_size=4))
    sizes = run.run.stepper.engine.sizes
    all_steps = heaviest(workload(run).rounds, sizes)
    monkeypatch.setattr(module, "_SEARCHED_ROWS", 20)
    searched = workload(run).rounds
    assert len(searched) < 12
    assert [lines(each) for each in heaviest(searched, sizes)] == [
        lines(each) for each in all_steps
    ]


def lines(packs: Sequence[Sequence[TokenRow]]) -> list[list[int]]:
    return [[row.line for row in rows] for rows in packs]
