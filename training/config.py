"""What a training run is told: every choice concrete, frozen, and JSON both ways."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record that refuses unknown keys, so that a misspelt option is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingType(StrEnum):
    """Which parameters are trained, and in what form the base is held."""

    LORA = "LORA"
    QLORA = "QLORA"
    FULL = "FULL"
    FREEZE = "FREEZE"


class DataType(StrEnum):
    """The shape of a dataset's records."""

    TEXT = "TEXT"
    CODE = "CODE"
    QA = "QA"
    COMPLETION = "COMPLETION"
    CHAT = "CHAT"


class Scheduler(StrEnum):
    """How the learning rate moves after warm-up."""

    COSINE = "COSINE"
    LINEAR = "LINEAR"
    CONSTANT = "CONSTANT"


class Sharding(StrEnum):
    """How several devices hold a model: NONE, each has it whole; FULL, each has a part of it."""

    NONE = "NONE"
    FULL = "FULL"


class Optimizer(StrEnum):
    """What moves the weights. All are AdamW; they differ in how its two moments are held.

    The last three are bitsandbytes'. Paged ones move to main memory when the GPU's is full.
    """

    ADAMW = "ADAMW"
    ADAMW_8BIT = "ADAMW_8BIT"
    PAGED_ADAMW = "PAGED_ADAMW"
    PAGED_ADAMW_8BIT = "PAGED_ADAMW_8BIT"


BITSANDBYTES_OPTIMIZERS: Final = frozenset(set(Optimizer) - {Optimizer.ADAMW})


class OnTooLong(StrEnum):
    """What becomes of examples that are longer than the longest sequence.

    ERROR ends the run before it trains; DROP leaves them out; TRUNCATE cuts them at their end.
    """

    ERROR = "ERROR"
    DROP = "DROP"
    TRUNCATE = "TRUNCATE"


class LoraInitialisation(StrEnum):
    """How the first matrix of an adapter is drawn; the second starts at zero.

    What starts from the base's own weights (PiSSA, OLoRA) is left out: it changes the base, so
    that an adapter could only be used beside a base that nobody else has.
    """

    KAIMING = "KAIMING"
    GAUSSIAN = "GAUSSIAN"


class Side(StrEnum):
    """What a record is for: to be trained on, or to test with."""

    TRAINING = "TRAINING"
    VALIDATION = "VALIDATION"


class TrainOn(StrEnum):
    """Which part of a record bears loss. Nothing predicts its first token, which never does.

    ASSISTANT is every assistant's turn with the token that ends it, LAST_ASSISTANT the last turn of
    each conversation, and ALL the prompts too; a turn of weight 0 bears none in any case. Of a
    completion, the first two are the completion. A text or a source file bears loss in every case.
    """

    ASSISTANT = "ASSISTANT"
    LAST_ASSISTANT = "LAST_ASSISTANT"
    ALL = "ALL"


class EarlyStopping(Frozen):
    """Stop once validation loss has not fallen by `min_delta` for `patience` epochs."""

    enabled: bool = False
    patience: int = 3
    min_delta: float = 0.001


class Checkpointing(Frozen):
    """A checkpoint every `interval` epochs, of which the `keep_best` best and the last are kept."""

    enabled: bool = True
    interval: int = 1
    keep_best: int = 3


LEARNING_RATES: Final = {
    TrainingType.LORA: 2e-4,
    TrainingType.QLORA: 2e-4,
    TrainingType.FULL: 2e-5,
    TrainingType.FREEZE: 5e-5,
}
"""Default learning rate by method: adapters take about ten times that of the full model."""


RS_LORA_ALPHA: Final = 8
ADAPTER_METHODS: Final = (TrainingType.LORA, TrainingType.QLORA)


class TrainingConfig(Frozen):
    """Everything that decides a run's result, beside the model and the data themselves.

    An optimizer step sees `batch_size * gradient_accumulation_steps` examples. Lengths are in
    tokens. `max_steps`, where given, ends the run before `epochs` does.
    """

    training_type: TrainingType
    learning_rate: float
    batch_size: int = 8
    epochs: int = 3
    warmup_steps: int = 0
    max_steps: int | None = None
    weight_decay: float = 0.01
    gradient_accumulation_steps: int = 1
    max_gradient_norm: float = 1.0
    scheduler: Scheduler = Scheduler.COSINE
    optimizer: Optimizer = Optimizer.ADAMW
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    target_modules: tuple[str, ...] | None = None
    rs_lora: bool = False
    """Weigh adapters by alpha over the square root of the rank, not over the rank."""
    dora: bool = False
    """Train the length of each row of a weight apart from its direction."""
    lora_initialisation: LoraInitialisation = LoraInitialisation.KAIMING
    trainable_layers: int = 2
    """How many decoder layers FREEZE trains, counted from the last."""
    train_embeddings: bool = False
    """Whether FREEZE trains the token embeddings and the output head too."""
    max_sequence_length: int = 1024
    chat_template: str | None = None
    """The name of a `NamedTemplate`, or the text of a template; None for the tokenizer's own."""
    train_on: TrainOn = TrainOn.ASSISTANT
    validation_split: float = 0.1
    stratify: bool = False
    """Hold out each label in its share, and draw a sample likewise, where the records have labels."""
    drop_leaks_from: Side = Side.TRAINING
    """Which side leaves out the records that it shares with the other, where validation has a
    dataset of its own."""
    shuffle: bool = True
    max_samples: int | None = None
    on_too_long: OnTooLong = OnTooLong.TRUNCATE
    seed: int = 42
    early_stopping: EarlyStopping = EarlyStopping()
    checkpointing: Checkpointing = Checkpointing()
    devices: int = 1
    """How many train together, sharing the rows of each step; on a CPU, processes stand for them."""
    sharding: Sharding = Sharding.NONE
    sample_prompts: tuple[str, ...] = ()
    """Prompts answered by the base model before training and by the best checkpoint after it."""

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained beside a base that stays as it is."""
        return self.training_type in ADAPTER_METHODS

    @property
    def quantised(self) -> bool:
        """Whether the base is held in 4 bits."""
        return self.training_type is TrainingType.QLORA

    @property
    def needs_bitsandbytes(self) -> bool:
        """Whether the base or the optimizer is one of bitsandbytes'."""
        quantised = self.training_type is TrainingType.QLORA
        return quantised or self.optimizer in BITSANDBYTES_OPTIMIZERS


def resolve(training_type: TrainingType, choices: Mapping[str, object]) -> TrainingConfig:
    """The whole config that follows from what was chosen; the rest takes its default.

    `choices` maps field names of `TrainingConfig` to values. The learning rate defaults by method
    and alpha to twice the rank, or with `rs_lora` to 8 at any rank, which weighs an adapter of rank
    16 the same. Raises pydantic's `ValidationError` on a wrong type or name.
    """
    rank = choices.get("lora_rank", 16)
    twice = 2 * rank if isinstance(rank, int) and rank > 0 else 32
    derived = {
        "learning_rate": LEARNING_RATES[training_type],
        "lora_alpha": RS_LORA_ALPHA if choices.get("rs_lora") else twice,
    }
    return TrainingConfig.model_validate({"training_type": training_type, **derived, **choices})


class StartKind(StrEnum):
    """What trained weights are taken from."""

    VERSION = "VERSION"
    CHECKPOINT = "CHECKPOINT"


class Start(Frozen):
    """Trained weights that a run starts from, with an optimizer and a schedule of its own."""

    kind: StartKind
    name: str
    """What users know it by."""
    path: str
    """The folder of the version's model, or of the checkpoint."""


class JobSpec(Frozen):
    """`job.json`, the whole input of a training child: what to do, and where model and data lie."""

    config: TrainingConfig
    model_path: str
    """A local folder or a hub id."""
    dataset_path: str
    """A JSONL file of canonical records. Beside it their tokens are kept, if that can be."""
    data_type: DataType
    dataset_sha256: str | None = None
    """Of the file when it was stored; where it is not given, the file is read for it."""
    validation_path: str | None = None
    """Such a file to test with, of the same type; None where a part of the other is held out."""
    validation_sha256: str | None = None
    examination_path: str | None = None
    """A folder that has what was found of each record, or will have it; None where nobody looks."""
    validation_examination_path: str | None = None
    start: Start | None = None
    """Where it does not start from the base model's own weights."""
