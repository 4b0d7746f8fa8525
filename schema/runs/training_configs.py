"""What a training run is told: the inputs that users give, and the whole config they become."""

import strawberry

from schema.enums import (
    LoraInitialisation,
    OnTooLong,
    Optimizer,
    Scheduler,
    Sharding,
    Side,
    TrainingType,
    TrainOn,
)
from training import config as training

__all__ = [
    "CheckpointingInput",
    "DataInput",
    "EarlyStoppingInput",
    "HyperparametersInput",
    "TrainingConfig",
]


@strawberry.input(description="How to train; what is left out takes its default.")
class HyperparametersInput:
    learning_rate: float | None = strawberry.field(
        default=None,
        description="Usually 1e-5 to 1e-3; by default 2e-4 for adapters, 5e-5 for FREEZE, 2e-5 "
        "for FULL.",
    )
    batch_size: int | None = strawberry.field(
        default=None,
        description="Examples of a batch, however many are computed at once; 8 by default.",
    )
    epochs: int | None = strawberry.field(
        default=None, description="Passes over the data; 3 by default."
    )
    warmup_steps: int | None = strawberry.field(
        default=None, description="Steps in which the learning rate rises; none by default."
    )
    max_steps: int | None = strawberry.field(
        default=None, description="Ends the run after so many optimizer steps, whatever `epochs`."
    )
    weight_decay: float | None = strawberry.field(
        default=None, description="Usually 0 to 0.1; 0.01 by default."
    )
    gradient_accumulation_steps: int | None = strawberry.field(
        default=None, description="Batches per optimizer step; 1 by default."
    )
    max_gradient_norm: float | None = strawberry.field(
        default=None, description="Longer gradients are cut to this length; 1 by default."
    )
    scheduler: Scheduler | None = strawberry.field(
        default=None, description="How the learning rate falls; COSINE by default."
    )
    optimizer: Optimizer | None = strawberry.field(
        default=None, description="What moves the weights; ADAMW by default."
    )
    lora_rank: int | None = strawberry.field(
        default=None, description="The width of the adapters; 16 by default."
    )
    lora_alpha: int | None = strawberry.field(
        default=None,
        description="How much the adapters weigh; twice the rank by default, 8 with `rsLora`.",
    )
    lora_dropout: float | None = strawberry.field(
        default=None, description="Usually 0 to 0.3; 0.05 by default."
    )
    target_modules: list[str] | None = strawberry.field(
        default=None, description="Layers that get adapters; every linear one by default."
    )
    rs_lora: bool | None = strawberry.field(
        default=None,
        description="Weigh the adapters by alpha over the square root of their rank, so that wide "
        "ones learn as fast as narrow ones; false by default.",
    )
    dora: bool | None = strawberry.field(
        default=None,
        description="Train how long the rows of a weight are apart from where they point: often "
        "better at a low rank, and slower; false by default.",
    )
    lora_initialisation: LoraInitialisation | None = strawberry.field(
        default=None, description="How adapters start; KAIMING by default."
    )
    trainable_layers: int | None = strawberry.field(
        default=None,
        description="How many of the last decoder layers FREEZE trains; 2 by default.",
    )
    train_embeddings: bool | None = strawberry.field(
        default=None,
        description="Whether FREEZE trains the token embeddings and the output head too; false by "
        "default. Where the model ties them, they stay tied.",
    )
    max_sequence_length: int | None = strawberry.field(
        default=None,
        description="The most tokens of an example, 1024 by default; `onTooLong` says what becomes "
        "of longer ones.",
    )
    seed: int | None = strawberry.field(
        default=None, description="The same seed gives the same run; 42 by default."
    )


@strawberry.input(description="Which records to train on, and which to test with.")
class DataInput:
    validation_split: float | None = strawberry.field(
        default=None,
        description="Share of the records held out to test with; 0.1 by default, 0 with "
        "`validationDatasetId`. Exact duplicates stay together on one side.",
    )
    validation_dataset_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="A dataset to test with, of the same type, whole; a share of the other is held "
        "out where left out.",
    )
    drop_leaks_from: Side | None = strawberry.field(
        default=None,
        description="Which side leaves out the records that are in both datasets; TRAINING by "
        "default, so that every run tests with the same records.",
    )
    stratify: bool | None = strawberry.field(
        default=None,
        description="Whether each label is held out in its share, and `maxSamples` drawn likewise. Labels "
        "are what few answers there are (2 to 50, each given to two different records at least), or else "
        "the system prompts under the same terms; with CODE, the languages. `DataPrepared` tells which; "
        "false by default.",
    )
    shuffle: bool | None = strawberry.field(
        default=None, description="Whether each epoch has an order of its own; true by default."
    )
    max_samples: int | None = strawberry.field(
        default=None,
        description="Takes only so many records, drawn by `seed` where `shuffle` is true, or else the "
        "first; with `stratify`, of each label in its share. All by default. Records to test with of `validationDatasetId` are all taken.",
    )
    on_too_long: OnTooLong | None = strawberry.field(
        default=None,
        description="What becomes of examples that have more tokens than `maxSequenceLength`; "
        "TRUNCATE by default.",
    )


@strawberry.input(description="When to stop before the last epoch.")
class EarlyStoppingInput:
    enabled: bool = strawberry.field(default=True, description="Whether to stop early at all.")
    patience: int = strawberry.field(
        default=3, description="Epochs without improvement after which to stop."
    )
    min_delta: float = strawberry.field(
        default=0.001, description="A smaller fall of the validation loss is no improvement."
    )


@strawberry.input(description="Which checkpoints to keep.")
class CheckpointingInput:
    enabled: bool = strawberry.field(default=True, description="Whether to write any.")
    interval: int = strawberry.field(default=1, description="One every so many epochs.")
    keep_best: int = strawberry.field(
        default=3, description="How many of the best are kept, beside the last."
    )


@strawberry.type(description="When a run stops before its last epoch.")
class EarlyStopping:
    enabled: bool = strawberry.field(description="Whether it stops early at all.")
    patience: int = strawberry.field(description="Epochs without improvement until it stops.")
    min_delta: float = strawberry.field(description="A smaller fall in loss is no improvement.")


@strawberry.type(description="Which checkpoints a run keeps.")
class Checkpointing:
    enabled: bool = strawberry.field(description="Whether it writes any.")
    interval: int = strawberry.field(description="One every so many epochs.")
    keep_best: int = strawberry.field(description="How many of the best, beside the last.")


@strawberry.type(description="Everything that decides a run, with every default filled in.")
class TrainingConfig:
    training_type: TrainingType = strawberry.field(description="Which parameters are trained.")
    learning_rate: float = strawberry.field(description="At its height, after warm-up.")
    batch_size: int = strawberry.field(description="Examples of a batch.")
    epochs: int = strawberry.field(description="Passes over the data.")
    warmup_steps: int = strawberry.field(description="Steps in which the learning rate rises.")
    max_steps: int | None = strawberry.field(description="Ends the run after so many steps.")
    weight_decay: float = strawberry.field(description="How fast unused weights shrink.")
    gradient_accumulation_steps: int = strawberry.field(description="Batches per optimizer step.")
    max_gradient_norm: float = strawberry.field(description="Longer gradients are cut to this.")
    scheduler: Scheduler = strawberry.field(description="How the learning rate falls.")
    optimizer: Optimizer = strawberry.field(description="What moves the weights.")
    lora_rank: int | None = strawberry.field(
        description="The width of the adapters; null for a method without."
    )
    lora_alpha: int | None = strawberry.field(
        description="How much the adapters weigh; null for a method without."
    )
    lora_dropout: float | None = strawberry.field(
        description="Dropout before the adapters; null for a method without."
    )
    target_modules: list[str] | None = strawberry.field(
        description="Layers that get adapters; null for every linear one."
    )
    rs_lora: bool | None = strawberry.field(
        description="Whether adapters weigh alpha over the square root of their rank; null for a "
        "method without."
    )
    dora: bool | None = strawberry.field(
        description="Whether the length of a weight's rows is trained apart; null for a method "
        "without adapters."
    )
    lora_initialisation: LoraInitialisation | None = strawberry.field(
        description="How adapters start; null for a method without."
    )
    trainable_layers: int | None = strawberry.field(
        description="How many of the last layers are trained; null but for FREEZE."
    )
    train_embeddings: bool | None = strawberry.field(
        description="Whether embeddings and head are trained too; null but for FREEZE."
    )
    max_sequence_length: int = strawberry.field(description="The most tokens of an example.")
    chat_template: str | None = strawberry.field(
        description="The chat template's name or text; null for the model's own."
    )
    train_on: TrainOn = strawberry.field(description="Which part of a record is trained.")
    validation_split: float = strawberry.field(description="Share of the records held out.")
    drop_leaks_from: Side = strawberry.field(
        description="Which side leaves out records that are in the dataset to test with, too."
    )
    stratify: bool = strawberry.field(
        description="Whether each label is held out, and sampled, in its share."
    )
    shuffle: bool = strawberry.field(description="Whether each epoch has an order of its own.")
    max_samples: int | None = strawberry.field(description="Takes only so many records.")
    on_too_long: OnTooLong = strawberry.field(description="What becomes of longer examples.")
    seed: int = strawberry.field(description="The same seed gives the same run.")
    early_stopping: EarlyStopping = strawberry.field(description="When it stops early.")
    checkpointing: Checkpointing = strawberry.field(description="Which checkpoints it keeps.")
    devices: int = strawberry.field(description="How many devices train it together.")
    sharding: Sharding = strawberry.field(description="How these hold the model.")
    sample_prompts: list[str] = strawberry.field(
        description="Prompts answered before and after training."
    )

    @classmethod
    def of(cls, config: training.TrainingConfig) -> "TrainingConfig":
        values = config.model_dump(exclude={"early_stopping", "checkpointing"})
        if not config.adapts:
            values |= dict.fromkeys(_OF_ADAPTERS)
        if config.training_type is not TrainingType.FREEZE:
            values |= dict.fromkeys(_OF_FREEZE)
        return cls(
            **values,
            early_stopping=EarlyStopping(**config.early_stopping.model_dump()),
            checkpointing=Checkpointing(**config.checkpointing.model_dump()),
        )


_OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout", "rs_lora", "dora", "lora_initialisation")
_OF_FREEZE = ("trainable_layers", "train_embeddings")
