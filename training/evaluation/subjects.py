"""The models that are evaluated, made ready as a run makes its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from training.config import JobSpec
from training.data.rows import TokenRow
from training.devices.hardware import Hardware
from training.devices.world import WORLD_OF_ONE
from training.engine.engine import Engine
from training.engine.making import place
from training.methods.adapters import TrainableModel, load_for_training, make_trainable
from training.models.base_models import stop_at
from training.steps.starting import base_source, start_from

__all__ = ["Subject", "subject"]


class Subject(NamedTuple):
    """A model that can be asked, and the engine that scores rows by it."""

    model: TrainableModel
    engine: Engine
    tokenizer: PreTrainedTokenizerBase
    hardware: Hardware


@contextmanager
def subject(
    run: JobSpec,
    rows: Sequence[TokenRow],
    *,
    tokenizer: PreTrainedTokenizerBase,
    stops: frozenset[int],
    hardware: Hardware,
) -> Iterator[Subject]:
    """The model that `run` starts from: a trained version, or without a start its base model.

    Raises what the preparation of a run raises.
    """
    base = load_for_training(base_source(run), run.config.training_type, hardware)
    stop_at(base, stops)
    torch.manual_seed(run.config.seed)
    model = make_trainable(base, run.config)
    if run.start is not None:
        start_from(model, run.start)
    engine, _ = place(model, hardware, rows=rows, config=run.config, world=WORLD_OF_ONE)
    try:
        yield Subject(model, engine, tokenizer, hardware)
    finally:
        engine.close()
