"""Steps that fail a whole run, and what it goes on from."""

import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.jobs import of_kind, qa_rows, read_events, run_here
from tests.training.weights import difference
from training.config import TrainingType
from training.engine import making as engines
from training.engine.engine import Engine
from training.errors import (
    DiskFull,
    NothingTrained,
    OutOfMemory,
    TrainingError,
)
from training.events import (
    CheckpointSaved,
    EpochCompleted,
    Outcome,
    Progress,
    Resumed,
    WarningRaised,
)
from training.files import damage
from training.models.base_models import load_base
from training.models.tokenizers import load_tokenizer
from training.scores import Scores
from training.steps.checkpoints import CheckpointStore
from training.steps.errors import NonFiniteGradient, NonFiniteLoss

MakeJob = Callable[..., Path]

STEPWISE = {
    "epochs": 1,
    "shuffle": False,
    "validation_split": 0.0,
    "scheduler": "CONSTANT",
}
"""Twelve rows in their order, three steps of four."""


@pytest.fixture
def untied(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Makes a model with a head of its own, its weights changed by a function."""

    def make(change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
        base = load_base(str(tiny_model), torch.float32)
        weights = {name: each.clone() for name, each in base.state_dict().items()}
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        change(weights)
        base.config.tie_word_embeddings = False
        folder = tmp_path / "untied"
        base.save_pretrained(folder)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        load_tokenizer(str(tiny_model)).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def without_tilde(untied: Callable[..., Path], tiny_model: Path) -> Path:
    """A model for which a tilde is not a number."""
    (tilde,) = load_tokenizer(str(tiny_model))("~", add_special_tokens=False)["input_ids"]

    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["model.embed_tokens.weight"][tilde] = float("nan")

    return untied(change)


def with_tilde_in(line: int) -> list[dict[str, str]]:
    rows = qa_rows(12)
    rows[line - 1]["question"] = "~" + rows[line - 1]["question"][1:]
    return rows


def test_a_spoilt_record_is_named_and_the_last_good_step_is_saved(
    make_job: MakeJob, without_tilde: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CPU_TOKENS", 80)  # two rows a micro-batch
    job = make_job(rows=with_tilde_in(10), model=without_tilde, **STEPWISE)
    with pytest.raises(NonFiniteLoss, match="became nan in epoch 1 at step 3") as raised:
        run_here(job)
    _, _, named = raised.value.message.rstrip(".").partition("in the micro-batch of the records ")
    lines = [int(line) for line in named.split(", ")]
    assert 10 in lines
    assert len(lines) == 2
    found = read_events(job)
    assert [event.step for event in of_kind(found, CheckpointSaved)] == [2]
    assert all(math.isfinite(event.loss) for event in of_kind(found, Progress))
    assert damage(job / "checkpoints" / "epoch-001-step-000002") is None

    whole = make_job("whole", model=without_tilde, **STEPWISE)
    run_here(whole)
    shutil.copyfile(whole / "data.jsonl", job / "data.jsonl")  # the record is mended
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [2]
    assert difference(whole, job) == 0.0


def test_weights_that_are_spoilt_themselves_are_not_saved(
    make_job: MakeJob, without_tilde: Path
) -> None:
    choices = STEPWISE | {"training_type": TrainingType.FULL}  # trains the broken embedding
    job = make_job(rows=with_tilde_in(10), model=without_tilde, **choices)
    with pytest.raises(NonFiniteLoss, match="at step 3"):
        run_here(job)
    assert list((job / "checkpoints").iterdir()) == []


def spoil_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    backward, calls = Engine.backward, itertools.count(1)

    def backward_to_nan(engine: Engine, *packs: object, **options: object) -> Scores:
        scores = backward(engine, *packs, **options)
        if next(calls) == 3:
            engine.gradients[0].sum_of(engine.weights.parameters[0])[0, 0] = math.nan
        return scores

    monkeypatch.setattr(Engine, "backward", backward_to_nan)


def spoil_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    backward, calls = Engine.backward, itertools.count(1)

    def backward_without_memory(engine: Engine, *packs: object, **options: object) -> Scores:
        if next(calls) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 123 bytes")
        return backward(engine, *packs, **options)

    monkeypatch.setattr(Engine, "backward", backward_without_memory)


FAILURES = [
    (spoil_a_gradient, NonFiniteGradient, "nan in epoch 1 at step 3, .* records 9, 10, 11, 12"),
    (spoil_the_memory, OutOfMemory, "tried 123 bytes"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_run_that_fails_at_a_step_goes_on_from_the_one_before(
    make_job: MakeJob,
    spoil: Callable[[pytest.MonkeyPatch], None],
    error: type[TrainingError],
    message: str,
) -> None:
    whole, job = make_job("whole", **STEPWISE), make_job("failed", **STEPWISE)
    run_here(whole)
    with pytest.MonkeyPatch.context() as spoilt:
        spoil(spoilt)
        with pytest.raises(error, match=message):
            run_here(job)
    assert run_here(job).outcome is Outcome.COMPLETED
    assert [event.step for event in of_kind(read_events(job), Resumed)] == [2]
    assert difference(whole, job) == 0.0


@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_step_that_cannot_be_saved_does_not_hide_why_the_run_failed(
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
    error: type[TrainingError],
    message: str,
) -> None:
    def no_room(_store: CheckpointStore, *_arguments: object) -> int:
        raise DiskFull(Path("checkpoints"))

    spoil(monkeypatch)
    monkeypatch.setattr(CheckpointStore, "save", no_room)
    job = make_job(**STEPWISE)
    with pytest.raises(error, match=message):
        run_here(job)
    warning = of_kind(read_events(job), WarningRaised)[-1]
    assert (warning.code, warning.message) == (
        "LAST_STEP_NOT_SAVED",
        "The last good step could not be saved: The disk is full: checkpoints could not be "
        "written. Older checkpoints are intact.",
    )


def test_a_first_gradient_of_zero_fails_the_run_by_name(
    make_job: MakeJob, untied: Callable[..., Path]
) -> None:
    model = untied(lambda weights: weights["lm_head.weight"].zero_())
    job = make_job(model=model)
    with pytest.raises(NothingTrained, match="the gradient of the first step is zero"):
        run_here(job)
    assert list((job / "checkpoints").iterdir()) == []


def test_weights_that_an_epoch_left_unchanged_fail_the_run_by_name(make_job: MakeJob) -> None:
    job = make_job(training_type=TrainingType.FULL, learning_rate=1e-60)  # zero in fp32
    with pytest.raises(NothingTrained, match="no weight moved in 3 steps"):
        run_here(job)
    assert of_kind(read_events(job), EpochCompleted) == []
    assert list((job / "checkpoints").iterdir()) == []
