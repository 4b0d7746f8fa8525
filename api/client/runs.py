"""What a run can be told, in the API input's own names and nesting; all of it optional.

The same shape is read from a run's configuration file.
"""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from training.config import (
    LoraInitialisation,
    OnTooLong,
    Optimizer,
    Scheduler,
    Sharding,
    Side,
    TrainingType,
    TrainOn,
)

__all__ = [
    "CheckpointingOptions",
    "DataOptions",
    "EarlyStoppingOptions",
    "Hyperparameters",
    "RunOptions",
    "StartOptions",
]


class _Options(BaseModel):
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )


class Hyperparameters(_Options):
    """How to train."""

    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    warmup_steps: int | None = None
    max_steps: int | None = None
    weight_decay: float | None = None
    gradient_accumulation_steps: int | None = None
    max_gradient_norm: float | None = None
    scheduler: Scheduler | None = None
    optimizer: Optimizer | None = None
    lora_rank: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    target_modules: tuple[str, ...] | None = None
    rs_lora: bool | None = None
    dora: bool | None = None
    lora_initialisation: LoraInitialisation | None = None
    trainable_layers: int | None = None
    train_embeddings: bool | None = None
    max_sequence_length: int | None = None
    seed: int | None = None


class DataOptions(_Options):
    """Which records to train on, and which to test with."""

    validation_split: float | None = None
    validation_dataset_id: str | None = None
    stratify: bool | None = None
    drop_leaks_from: Side | None = None
    shuffle: bool | None = None
    max_samples: int | None = None
    on_too_long: OnTooLong | None = None


class EarlyStoppingOptions(_Options):
    """When to stop early; on, once anything is said of it."""

    enabled: bool = True
    patience: int = 3
    min_delta: float = 0.001


class CheckpointingOptions(_Options):
    """Which checkpoints to keep."""

    enabled: bool = True
    interval: int = 1
    keep_best: int = 3


class StartOptions(_Options):
    """The trained weights to start from, by their id; exactly one is given."""

    version_id: str | None = None
    checkpoint_id: str | None = None


class RunOptions(_Options):
    """A run but for its model and its dataset."""

    training_type: TrainingType = TrainingType.LORA
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    data: DataOptions = Field(default_factory=DataOptions)
    early_stopping: EarlyStoppingOptions | None = None
    checkpointing: CheckpointingOptions | None = None
    chat_template: str | None = None
    train_on: TrainOn | None = None
    devices: int | None = None
    sharding: Sharding | None = None
    sample_prompts: tuple[str, ...] | None = None
    start: StartOptions | None = Field(default=None, alias="from")

    def as_input(self) -> dict[str, object]:
        """The API's input without the ids: what was not said is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
