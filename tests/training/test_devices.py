"""The same job on two devices, which on a CPU are two processes: the same losses, one run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training.jobs import losses, of_kind, qa_rows, read_events, run_here
from tests.training.ranks import BOUND, FEW_TOKENS, run_ranks
from training.config import Sharding, TrainingType
from training.devices import hardware, launch
from training.engine import engine as engines
from training.engine import making
from training.engine.engine import Engine
from training.engine.packs import Pack
from training.errors import OutOfMemory
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Event,
    Finished,
    Outcome,
    Progress,
    Resumed,
    SamplesGenerated,
    TimeEstimated,
    WarningRaised,
)
from training.progress.stopping import StopRequest
from training.requests import ask_for_checkpoint
from training.scores import Scores
from training.steps.stepper import Stepper

MakeJob = Callable[..., Path]

pytestmark = pytest.mark.slow

METHODS = [TrainingType.LORA, TrainingType.FULL]
SHARDINGS = [Sharding.NONE, Sharding.FULL]

STOPPED_AT = 4
"""The step after which a run is told to stop: the first of its second epoch."""

STEPS = {"rows": qa_rows(30), "gradient_accumulation_steps": 2, "lora_dropout": 0.0}


@pytest.fixture(autouse=True)
def _fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(making, "CPU_TOKENS", FEW_TOKENS)


def outcomes(job: Path) -> list[Outcome]:
    return [event.outcome for event in of_kind(read_events(job), Finished)]


@pytest.mark.parametrize("method", METHODS)
def test_two_devices_give_the_losses_of_one(make_job: MakeJob, method: TrainingType) -> None:
    choices = {"training_type": method, "sample_prompts": ["Is it?"], **STEPS}
    estimated = method is TrainingType.LORA
    one = make_job("one", **choices)
    run_here(one, estimated=estimated)
    for sharding in SHARDINGS:
        two = make_job(f"two-{sharding}", sharding=sharding, **choices)
        assert run_ranks(two, 2, estimated=estimated) == [0, 0]
        assert losses(two) == pytest.approx(losses(one), rel=BOUND)
        found, expected = read_events(two), read_events(one)
        assert without_progress(found)[1:] == without_progress(expected)  # PREPARING is run.py's
        assert of_kind(found, SamplesGenerated)[0].samples == (
            of_kind(expected, SamplesGenerated)[0].samples
        )
        assert model_difference(one, two) < 1e-4  # a tenth of what one step moves a weight


@pytest.mark.parametrize(
    ("method", "sharding"),
    [(TrainingType.QLORA, Sharding.NONE), (TrainingType.FREEZE, Sharding.FULL)],
)
def test_the_other_methods_give_the_same_losses_too(
    make_job: MakeJob, method: TrainingType, sharding: Sharding
) -> None:
    choices = {"training_type": method, "learning_rate": 1e-3, "max_steps": 4, **STEPS}
    one, two = make_job("one", **choices), make_job("two", sharding=sharding, **choices)
    run_here(one)
    assert run_ranks(two, 2) == [0, 0]
    assert losses(two) == pytest.approx(losses(one), rel=BOUND)
    assert model_difference(one, two) < 1e-4


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_device_without_an_example_of_its_own_changes_nothing(
    make_job: MakeJob, sharding: Sharding
) -> None:
    choices = STEPS | {"batch_size": 1, "gradient_accumulation_steps": 3, "max_steps": 4}
    one, two = make_job("one", **choices), make_job("two", sharding=sharding, **choices)
    run_here(one)
    assert run_ranks(two, 2) == [0, 0]
    assert losses(two) == pytest.approx(losses(one), rel=BOUND)


@pytest.mark.parametrize(
    ("method", "sharding"),
    [
        (TrainingType.LORA, Sharding.NONE),
        (TrainingType.LORA, Sharding.FULL),
        (TrainingType.FULL, Sharding.FULL),
    ],
)
def test_a_run_goes_on_with_another_number_of_devices(
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    method: TrainingType,
    sharding: Sharding,
) -> None:
    choices = {"training_type": method, "sharding": sharding, **STEPS}
    whole = make_job("whole", **choices)
    run_here(whole)
    fewer = make_job("fewer", **choices)
    assert run_ranks(fewer, 2, stop_in_second_epoch) == [0, 0]
    assert [event.epoch for event in of_kind(read_events(fewer), CheckpointSaved)] == [1, 2]
    run_here(fewer)
    more = make_job("more", **choices)
    stopped: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "_advance", advancing(lambda: stopped.append(True)))
        run_here(more, should_stop=lambda: bool(stopped))
    assert run_ranks(more, 2) == [0, 0]
    for job in (fewer, more):
        assert outcomes(job) == [Outcome.CANCELLED, Outcome.COMPLETED]
        (resumed,) = of_kind(read_events(job), Resumed)
        assert (resumed.epoch, resumed.step) == (2, STOPPED_AT)
        assert [event.epoch for event in of_kind(read_events(job), EpochCompleted)] == [1, 2]
        assert losses(job) == pytest.approx(losses(whole), rel=BOUND)


def test_a_resumed_run_on_two_devices_draws_the_same_dropout(make_job: MakeJob) -> None:
    choices = STEPS | {"lora_dropout": 0.2, "sharding": Sharding.FULL}
    whole, stopped = make_job("whole", **choices), make_job("stopped", **choices)
    assert run_ranks(whole, 2) == [0, 0]
    assert run_ranks(stopped, 2, stop_in_second_epoch) == [0, 0]
    assert run_ranks(stopped, 2) == [0, 0]
    assert outcomes(stopped) == [Outcome.CANCELLED, Outcome.COMPLETED]
    assert losses(stopped) == losses(whole)
    assert model_difference(whole, stopped) == 0.0


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_failure_in_one_process_is_the_runs_by_name(
    make_job: MakeJob, sharding: Sharding
) -> None:
    job = make_job(sharding=sharding)
    assert run_ranks(job, 2, run_out_of_memory, estimated=True) == [1, 1]
    assert launch._conclude(job, {0: 1, 1: 1}, 2) == 0
    (end,) = of_kind(read_events(job), Finished)
    assert end.error is not None
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "OUT_OF_MEMORY")
    told = "In process 1 of 2: The machine ran out of memory: no more."
    assert end.error.message.startswith(told)
    assert "the estimate was" in end.error.message


def run_out_of_memory(rank: int) -> None:
    if rank == 1:
        Stepper._apply = _refuse


def _refuse(_stepper: Stepper, *_arguments: object) -> None:
    raise OutOfMemory("no more")


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_checkpoint_that_is_asked_for_is_saved_once(
    make_job: MakeJob, sharding: Sharding
) -> None:
    job = make_job(sharding=sharding, **STEPS)
    ask_for_checkpoint(job)
    assert run_ranks(job, 2) == [0, 0]
    saved = of_kind(read_events(job), CheckpointSaved)
    assert [(event.step, event.requested) for event in saved] == [(1, True), (3, False), (6, False)]


def test_where_one_device_lacks_memory_all_hold_less_at_once(make_job: MakeJob) -> None:
    one, two = make_job("one", **STEPS), make_job("two", **STEPS)
    run_here(one)
    assert run_ranks(two, 2, lack_memory_once) == [0, 0]
    told = of_kind(read_events(two), WarningRaised)
    assert [event.code for event in told] == ["TOKEN_BUDGET_HALVED"]
    assert told[0].message.startswith(
        "The machine ran out of memory: another device had none left. "
        f"From here on {FEW_TOKENS // 2} tokens"
    )
    assert losses(two) == pytest.approx(losses(one), rel=BOUND)


def lack_memory_once(rank: int) -> None:
    backward = Engine.backward
    engines._LEAST_TOKENS = FEW_TOKENS // 2  # type: ignore[misc]

    def refuse(engine: Engine, packs: Sequence[Pack], **options: Any) -> Scores:
        if engine.budget == FEW_TOKENS:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 123 bytes")
        return backward(engine, packs, **options)

    if rank == 1:
        Engine.backward = refuse


def stop_in_second_epoch(rank: int) -> None:
    """Only the second process is told to stop, and both must."""
    if rank == 1:
        Stepper._advance = advancing(_ask_to_stop)


def _ask_to_stop() -> None:
    StopRequest.__call__ = lambda _self: True


def advancing(reached: Callable[[], None]) -> Callable[[Stepper, Scores, float], None]:
    """What `Stepper._advance` does, and a call once it has come to the step to be stopped at."""
    advance = Stepper._advance

    def advance_and_look(stepper: Stepper, scores: Scores, seconds: float) -> None:
        advance(stepper, scores, seconds)
        if stepper.state.step == STOPPED_AT:
            reached()

    return advance_and_look


def without_progress(found: Sequence[Event]) -> list[str]:
    """All but what depends on the pace."""
    left_out = Progress | TimeEstimated
    return [type(event).__name__ for event in found if not isinstance(event, left_out)]


def model_difference(first: Path, second: Path) -> float:
    (ours,), (theirs,) = ((job / "model").glob("*.safetensors") for job in (first, second))
    one, other = load_file(ours), load_file(theirs)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
