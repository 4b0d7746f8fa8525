"""The preparing phase: records to rows, a base model to a trainable one, both to a run."""

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.config import DataType, JobSpec, TrainingConfig
from training.data.records import Record, parse
from training.data.rendering import Rendered, Renderer, Row
from training.devices.hardware import Hardware, probe
from training.devices.world import WORLD_OF_ONE, World
from training.engine.making import chosen, place
from training.errors import DatasetDamaged, NothingToTrain, RecordError
from training.events import DataPrepared, Event, WarningRaised
from training.methods.adapters import TrainableModel, load_for_training, make_trainable
from training.methods.optimizer import PAGED
from training.models.base_models import load_tokenizer, stop_token_ids
from training.models.modules import has_fused_experts
from training.requests import SaveRequests
from training.steps.batches import Split, sample, split
from training.steps.checkpoints import CheckpointStore
from training.steps.loop import Run
from training.steps.schedule import total_steps
from training.steps.shortage import take_up_bid
from training.steps.starting import base_source, start_from
from training.steps.stepper import Stepper
from training.token_budget import TokenBudget

_NAMED_LINES: Final = 20
"""How many line numbers a warning lists."""


@dataclass(frozen=True)
class Prepared:
    """A run at its start, and what it is made of."""

    run: Run
    training: Sequence[Row]
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
    hardware = world.from_leader(probe)  # which is faster, two processes may find otherwise
    _be_deterministic(hardware)
    tokenizer = load_tokenizer(spec.model_path)
    records = _records(spec)
    if should_stop():
        return None
    base = load_for_training(base_source(spec), config.training_type, hardware)
    _tell_method(config, base, hardware, emit)
    parts = _rows(spec, records, base=base, tokenizer=tokenizer, emit=emit)
    world.raise_unless_same("rows", _as_bytes(parts))
    if should_stop():
        return None
    torch.manual_seed(config.seed)
    model = make_trainable(base, config)
    if spec.start is not None:
        start_from(model, spec.start)
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


def read_records(path: Path, data_type: DataType) -> Iterator[tuple[int, Record]]:
    """The numbered records of a JSONL file. Raises `DatasetDamaged` naming the first bad line."""
    try:
        with path.open("rb") as file:
            for line, content in enumerate(file, start=1):
                try:
                    yield line, parse(data_type, json.loads(content))
                except (ValueError, RecursionError, RecordError) as error:
                    raise DatasetDamaged(path, f"line {line}: {error}".rstrip(".")) from error
    except OSError as error:
        raise DatasetDamaged(path, str(error.strerror)) from error


def _be_deterministic(hardware: Hardware) -> None:
    """On a CPU same inputs, same weights, bit for bit; memory is not filled first, for nothing reads it.

    On a GPU attention's kernels are not deterministic all the same, and with what torch asks of cuBLAS
    for it Python took 63 microseconds for each product.
    """
    torch.use_deterministic_algorithms(hardware.device == "cpu", warn_only=True)
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


def _records(spec: JobSpec) -> list[tuple[int, Record]]:
    """The records this run may use."""
    config = spec.config
    records = list(read_records(Path(spec.dataset_path), spec.data_type))
    return sample(records, config.max_samples, shuffle=config.shuffle, seed=config.seed)


def _rows(
    spec: JobSpec,
    records: Sequence[tuple[int, Record]],
    *,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    emit: Callable[[Event], None],
) -> Split:
    """The records as rows on their side of the split, and all that happened to them told."""
    config = spec.config
    renderer = Renderer(
        tokenizer,
        spec.data_type,
        stop_token_ids=stop_token_ids(base, tokenizer),
        max_length=config.max_sequence_length,
    )
    rendered = renderer.render(records)
    parts = split(rendered.rows, config.validation_split, config.seed)
    if not parts.training:
        raise NothingToTrain(
            f"of {len(records)} records {len(rendered.dropped)} have no token left that bears "
            f"loss within {config.max_sequence_length} tokens"
        )
    if config.early_stopping.enabled and not parts.validation:
        raise NothingToTrain(
            "early stopping needs validation records, and duplicates leave none apart"
        )
    emit(
        DataPrepared(
            training_records=len(parts.training),
            validation_records=len(parts.validation),
            dropped_records=len(rendered.dropped),
            truncated_records=len(rendered.truncated),
            tokens=sum(len(row.input_ids) for row in parts.training),
            trained_tokens=sum(row.trained_tokens for row in parts.training),
            total_steps=total_steps(len(parts.training), config),
        )
    )
    for warning in _data_warnings(rendered, parts, spec):
        emit(warning)
    return parts


def _data_warnings(rendered: Rendered, parts: Split, spec: JobSpec) -> Iterator[WarningRaised]:
    longest = spec.config.max_sequence_length
    if rendered.dropped:
        yield WarningRaised(
            code="RECORDS_DROPPED",
            message=f"{len(rendered.dropped)} records have no token that bears loss within "
            f"{longest} tokens and are not trained on: {_lines(rendered.dropped)}.",
            remedy="Raise maxSequenceLength, or shorten their prompts.",
        )
    if rendered.truncated:
        yield WarningRaised(
            code="RECORDS_TRUNCATED",
            message=f"{len(rendered.truncated)} records are longer than {longest} tokens and were "
            f"cut at their end: {_lines(rendered.truncated)}.",
            remedy="Raise maxSequenceLength to train on them whole.",
        )
    if spec.config.validation_split > 0 and not parts.validation:
        yield WarningRaised(
            code="NO_VALIDATION",
            message="No record is held out: there are too few that are not duplicates.",
            remedy="Add records, or remove duplicates.",
        )


def _lines(numbers: Sequence[int]) -> str:
    """Line numbers for a sentence, the first of them where there are many."""
    named = ", ".join(str(number) for number in numbers[:_NAMED_LINES])
    more = len(numbers) - _NAMED_LINES
    word = "line" if len(numbers) == 1 else "lines"
    return f"{word} {named}" + (f" and {more} more" if more > 0 else "")


def _as_bytes(parts: Split) -> Iterator[bytes]:
    """What is trained on and tested with, to be compared."""
    return (array("q", row.input_ids).tobytes() for side in parts for row in side)
