"""From what a user asks for to what the jobs floor is asked."""

import dataclasses
from dataclasses import replace
from uuid import UUID

import strawberry

from jobs.runs.lifecycle import RunRequest
from schema import ids
from schema.enums import Sharding, TrainingType, TrainOn
from schema.runs.starts import StartFromInput
from schema.runs.training_configs import (
    CheckpointingInput,
    DataInput,
    EarlyStoppingInput,
    HyperparametersInput,
)
from training.config import Checkpointing, EarlyStopping

__all__ = ["RunPipelineInput", "StartTrainingInput"]


@strawberry.input(description="A training run, in full.")
class RunPipelineInput:
    model_id: strawberry.ID = strawberry.field(description="The model to train; it must be READY.")
    dataset_id: strawberry.ID = strawberry.field(description="The dataset to train on.")
    training_type: TrainingType = strawberry.field(description="Which parameters to train.")
    hyperparameters: HyperparametersInput | None = strawberry.field(
        default=None, description="How to train."
    )
    data: DataInput | None = strawberry.field(
        default=None, description="Which part of the dataset to train on."
    )
    early_stopping: EarlyStoppingInput | None = strawberry.field(
        default=None, description="When to stop early; never, where left out."
    )
    checkpointing: CheckpointingInput | None = strawberry.field(
        default=None, description="Which checkpoints to keep."
    )
    chat_template: str | None = strawberry.field(
        default=None,
        description="A template's name, such as CHATML, or its text in Jinja; the model's own, if "
        "left out. The version keeps it.",
    )
    train_on: TrainOn | None = strawberry.field(
        default=None, description="Which part of a record is trained; ASSISTANT by default."
    )
    devices: int | None = strawberry.field(
        default=None,
        description="How many devices of one worker train it together; 1 by default.",
    )
    sharding: Sharding | None = strawberry.field(
        default=None, description="How several devices hold the model; NONE by default."
    )
    sample_prompts: list[str] | None = strawberry.field(
        default=None, description="Answered by the start before and by the best checkpoint after."
    )
    start: StartFromInput | None = strawberry.field(
        default=None, name="from", description="Where to start; at the base model, if left out."
    )

    def request(self) -> RunRequest:
        choices = _given(self.hyperparameters) | _given(self.data)
        held_out = choices.pop("validation_dataset_id", None)
        single = {"train_on": self.train_on, "devices": self.devices, "sharding": self.sharding}
        choices |= {name: value for name, value in single.items() if value is not None}
        if self.early_stopping is not None:
            choices["early_stopping"] = EarlyStopping(**_given(self.early_stopping))
        if self.checkpointing is not None:
            choices["checkpointing"] = Checkpointing(**_given(self.checkpointing))
        return replace(_request(self, choices), validation_dataset_id=_dataset(held_out))


@strawberry.input(description="A training run, in short.")
class StartTrainingInput:
    model_id: strawberry.ID = strawberry.field(description="The model to train; it must be READY.")
    dataset_id: strawberry.ID = strawberry.field(description="The dataset to train on.")
    training_type: TrainingType = strawberry.field(
        default=TrainingType.LORA, description="Which parameters to train."
    )
    hyperparameters: HyperparametersInput | None = strawberry.field(
        default=None, description="How to train."
    )
    validation_split: float | None = strawberry.field(
        default=None, description="Share of the records held out to test with; 0.1 by default."
    )
    chat_template: str | None = strawberry.field(
        default=None,
        description="A template's name, such as CHATML, or its text in Jinja; the model's own, if "
        "left out. The version keeps it.",
    )
    early_stopping: bool = strawberry.field(
        default=False, description="Whether to stop early, with the default patience."
    )
    sample_prompts: list[str] | None = strawberry.field(
        default=None, description="Answered by the start before and by the best checkpoint after."
    )
    start: StartFromInput | None = strawberry.field(
        default=None, name="from", description="Where to start; at the base model, if left out."
    )

    def request(self) -> RunRequest:
        choices = _given(self.hyperparameters)
        if self.validation_split is not None:
            choices["validation_split"] = self.validation_split
        choices["early_stopping"] = EarlyStopping(enabled=self.early_stopping)
        return _request(self, choices)


def _request(sent: RunPipelineInput | StartTrainingInput, choices: dict[str, object]) -> RunRequest:
    if sent.sample_prompts is not None:
        choices["sample_prompts"] = tuple(sent.sample_prompts)
    if sent.chat_template is not None:
        choices["chat_template"] = sent.chat_template
    return RunRequest(
        model_id=ids.decode(ids.Kind.MODEL, sent.model_id),
        dataset_id=ids.decode(ids.Kind.DATASET, sent.dataset_id),
        training_type=sent.training_type,
        choices=choices,
        start=None if sent.start is None else sent.start.request(),
    )


def _dataset(sent: object) -> UUID | None:
    return None if sent is None else ids.decode(ids.Kind.DATASET, str(sent))


def _given(
    sent: HyperparametersInput | DataInput | EarlyStoppingInput | CheckpointingInput | None,
) -> dict[str, object]:
    """The fields that were given a value, by the names of `TrainingConfig`; null is none."""
    if sent is None:
        return {}
    return {name: value for name, value in dataclasses.asdict(sent).items() if value is not None}
