"""The preparing phase: records to rows, a base model to a trainable one, both to a run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.config import JobSpec, TrainingConfig
from training.data.choosing import settle_template
from training.data.rendering import Renderer
from training.data.selection import Rows
from training.devices.hardware import Hardware, probe
from training.devices.token_budget import TokenBudget
from training.devices.world import WORLD_OF_ONE, World
from training.engine.making import chosen, place
from training.events import Event, WarningRaised
from training.methods.adapters import TrainableModel, load_for_training, make_trainable
from training.methods.optimizer import PAGED
from training.models.base_models import stop_at
from training.models.modules import has_fused_experts
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.requests import SaveRequests
from training.run_rows import run_rows
from training.steps.checkpoints import CheckpointStore
from training.steps.loop import Run
from training.steps.schedule import total_steps
from training.steps.shortage import take_up_bid
from training.steps.starting import base_source, start_from
from training.steps.stepper import Stepper


@dataclass(frozen=True)
class Prepared:
    """A run at its start, and what it is made of."""

    run: Run
    training: Rows
    model: TrainableModel
    tokenizer: PreTrainedTokenizerBase
    hardware: Hardware


def prepare(
    spec: JobSpec,
    job_dir: Path,
    *,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
    world: World = WORLD_OF_ONE,
) -> Prepared | None:
    """A run ready to take its first step, whatever was saved in `job_dir`; None where told to stop.

    Raises a `TrainingError` for what cannot be read, rendered or trained.
    """
    config = spec.config
    store = CheckpointStore(job_dir / "checkpoints")
    hardware = hardware_of(world)
    be_deterministic(hardware)
    tokenizer = load_tokenizer(spec.model_path)
    source = base_source(spec)
    renderer = run_renderer(spec, tokenizer, source)
    parts = run_rows(spec, renderer, job_dir, emit=emit, should_stop=should_stop, world=world)
    if parts is None or should_stop():
        return None
    base = load_for_training(source, config.training_type, hardware)
    stop_at(base, renderer.stop_token_ids)  # where the run's template ends a turn
    _tell_method(config, base, hardware, emit)
    if should_stop():
        return None
    model = _trainable(base, spec)
    engine, world = place(model, hardware, rows=parts.training, config=config, world=world)
    run = Run(
        stepper=Stepper(
            engine,
            parts.training,
            config=config,
            total_steps=total_steps(len(parts.training), config),
            world=world,
        ),
        validation=parts.validation,
        training_rows=len(parts.training),
        config=config,
        store=store,
        emit=emit,
        should_stop=should_stop,
        requests=SaveRequests(job_dir),
        token_budget=TokenBudget(job_dir),
        world=world,
    )
    take_up_bid(engine, run.token_budget, emit=emit, world=world)
    emit(chosen(engine, hardware))
    return Prepared(run, parts.training, model, tokenizer, hardware)


def _trainable(base: PreTrainedModel, spec: JobSpec) -> TrainableModel:
    torch.manual_seed(spec.config.seed)
    model = make_trainable(base, spec.config)
    if spec.start is not None:
        start_from(model, spec.start)
    return model


def run_renderer(spec: JobSpec, tokenizer: PreTrainedTokenizerBase, source: str) -> Renderer:
    """What renders the run's records, its template settled, as a model of `source` stops."""
    declared = declared_stop_ids(source, tokenizer)
    return Renderer(
        tokenizer,
        spec.data_type,
        stop_token_ids=settle_template(tokenizer, spec.config.chat_template, declared),
        max_length=spec.config.max_sequence_length,
        train_on=spec.config.train_on,
    )


def hardware_of(world: World) -> Hardware:
    """What all processes compute with: which of two is faster, each may find otherwise."""
    found = world.from_leader(probe)
    sharers = world.local_size if found.device == "cpu" else 1
    return found.model_copy(update={"sharers": sharers})


def be_deterministic(hardware: Hardware) -> None:
    """On a CPU same inputs, same weights, bit for bit; memory is not filled first, for nothing reads it.

    On a GPU attention's kernels are not deterministic all the same, and with what torch asks of cuBLAS
    for it Python took 63 microseconds for each product. `torch.use_deterministic_algorithms` does the
    same, and imports torch's compiler to tell it too.
    """
    torch.set_deterministic_debug_mode("warn" if hardware.device == "cpu" else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _tell_method(
    config: TrainingConfig,
    base: PreTrainedModel,
    hardware: Hardware,
    emit: Callable[[Event], None],
) -> None:
    """Tell what the method cannot do here, though nothing forbids to ask for it."""
    if config.optimizer in PAGED and hardware.device == "cpu":
        emit(
            WarningRaised(
                code="NOT_PAGED",
                message=f"On a CPU the optimizer {config.optimizer} has no memory to move anything "
                "from, and is not paged.",
                remedy="Use ADAMW or ADAMW_8BIT, which do the same here.",
            )
        )
    if config.adapts and config.target_modules is None and has_fused_experts(base):
        emit(
            WarningRaised(
                code="EXPERTS_NOT_ADAPTED",
                message="The experts of this mixture are no linear layers and get no adapters; its "
                "other layers do.",
                remedy="Use FREEZE or FULL to train the experts too.",
            )
        )
