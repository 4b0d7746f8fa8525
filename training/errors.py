"""Every way a training, inspection or export can fail that its user can understand and act upon.

* TrainingError
  x RecordError            one record of a dataset has the wrong shape
  x SourceUnreadable       a user's file is none that can be read, or fits no format or several
  x NoRoomForDataset       in `data.ingest.errors`: the disk is too full for the records of a file
  x DatasetGone, RecordOutdated, NothingChanged, NothingLeft    likewise: of a dataset made of another
  x HubUnavailable         in `data.hub.errors`: a dataset of the hub is not there, or not for us
  x DatasetDamaged         the dataset file no longer holds what was validated
  x StrategyNotOffered     in `data.doctor.errors`: what was found cannot be dealt with so
  x FindingUnknown, RecordsRefused    likewise: it was not looked for there; it was said to be an error
  x FoundInAll, TokensNotKept    likewise: it is no record's own fault; nothing is left of the look
  x ModelUnreadable        the model folder or hub id cannot be loaded, or lies about its weights
  x NoChatTemplate         the data is a conversation and the tokenizer cannot render one
  x TemplateNotPrefixStable, StopTokenNotTrained    the chat template cannot be trained exactly
  x TemplateUnusable, TemplateFailed, EndOfTurnSplit    in `templates.errors`: of a chosen template
  x NothingToTrain         no row has a token that bears loss
  x TargetModulesNotFound  LoRA was told to adapt modules that the model lacks
  x DecoderLayersNotFound, TooFewLayers, NothingTrainable    FREEZE cannot train what it was told
  x BitsandbytesUnavailable    4-bit bases and 8-bit optimizers do not work on this machine
  x NonFiniteLoss, NonFiniteGradient     in `step_errors`: a step that was not taken
  x NothingTrained         the run is going nowhere
  x OutOfMemory, DiskFull  the machine is too small
  x DevicesMissing, ProcessesDisagree, PassAbandoned    in `devices.errors`: of runs on several devices
  x StartUnusable          the weights a run was to start from are damaged or do not fit
  x BestCheckpointMismatch a stored checkpoint does not score what it scored when saved
  x ParityFailed           an exported file is not the trained model
  x ExporterUnavailable, NotExportable, NoRoomForExport    in `export.errors`: a format cannot be written
"""

from pathlib import Path
from typing import Self

from training.estimates import MemoryEstimate, in_words
from training.events import Failure


class TrainingError(Exception):
    """A failure with a stable code, a sentence that names the value, and what to do about it."""

    def __init__(self, code: str, message: str, remedy: str | None = None) -> None:
        super().__init__(code, message, remedy)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.code, self.message, self.remedy)

    def failure(self) -> Failure:
        """The same, as the record that events and result files carry."""
        return Failure(code=self.code, message=self.message, remedy=self.remedy)

    @classmethod
    def restore(cls, code: str, message: str, remedy: str | None) -> Self:
        """An error with these very words, past the leaf's own constructor; used by pickle."""
        error = cls.__new__(cls)
        TrainingError.__init__(error, code, message, remedy)
        return error


def _restored(
    kind: type[TrainingError], code: str, message: str, remedy: str | None
) -> TrainingError:
    return kind.restore(code, message, remedy)


class RecordError(TrainingError):
    """One record does not have the shape of its data type."""


class SourceUnreadable(TrainingError):
    """Nothing of a user's file can be taken: what it is, or what its rows mean, is not known."""

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(code, f"The file cannot be read: {reason}.", remedy)


class DatasetDamaged(TrainingError):
    """The dataset file is missing, unreadable, or holds a line that is no valid record."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            "DATASET_DAMAGED",
            f"The dataset file {path.name} cannot be used: {reason}.",
            "Create the dataset again from its source.",
        )


class ModelUnreadable(TrainingError):
    """The base model cannot be loaded, or its files contradict its configuration."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            "MODEL_UNREADABLE",
            f"The model {source} cannot be loaded: {reason}.",
            "Give a folder or hub id of a Hugging Face causal language model with safetensors.",
        )


class NoChatTemplate(TrainingError):
    """Conversations cannot be rendered because the tokenizer stores no chat template."""

    def __init__(self, source: str) -> None:
        super().__init__(
            "NO_CHAT_TEMPLATE",
            f"The tokenizer of {source} has no chat template, so conversations cannot be rendered.",
            "Choose a template with chatTemplate, or use data of type TEXT, CODE or COMPLETION.",
        )


class TemplateNotPrefixStable(TrainingError):
    """What the template renders for a turn changes when a later turn is added.

    `line` is 0 where it was tried before there was a record.
    """

    def __init__(self, line: int, reason: str) -> None:
        where = f" at record {line}" if line else ""
        super().__init__(
            "TEMPLATE_NOT_PREFIX_STABLE",
            f"The chat template cannot be split into turns{where}: {reason}.",
            "Mark assistant text with {% generation %} in the template, or choose another with chatTemplate.",
        )


class StopTokenNotTrained(TrainingError):
    """An assistant turn ends without a token the model could learn to stop at."""

    def __init__(self, line: int) -> None:
        super().__init__(
            "STOP_TOKEN_NOT_TRAINED",
            f"The assistant turn in record {line} is rendered without an end-of-turn token, "
            "so the model would never learn to stop.",
            "Use a chat template that closes each assistant turn with the tokenizer's end token.",
        )


class NothingToTrain(TrainingError):
    """After tokenising, truncating and splitting no row is left that bears loss."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "NOTHING_TO_TRAIN",
            f"There is nothing to train on: {reason}.",
            "Raise maxSequenceLength, lower validationSplit, or add records.",
        )


class TargetModulesNotFound(TrainingError):
    """None of the named modules exists in the model, or one cannot carry an adapter."""

    def __init__(self, names: tuple[str, ...] | None, reason: str) -> None:
        super().__init__(
            "TARGET_MODULES_NOT_FOUND",
            f"LoRA cannot adapt {_listed(names)}: {reason}.",
            "Leave targetModules out to adapt every linear layer."
            if names
            else "Name in targetModules the layers to adapt.",
        )


def _listed(names: tuple[str, ...] | None) -> str:
    return f"the modules {', '.join(names)}" if names else "every linear layer"


class DecoderLayersNotFound(TrainingError):
    """The architecture has no list of decoder layers, so that none can be the last."""

    def __init__(self, architecture: str) -> None:
        super().__init__(
            "DECODER_LAYERS_NOT_FOUND",
            f"No list of decoder layers was found in {architecture}.",
            "Use LORA or FULL, which need none.",
        )


class TooFewLayers(TrainingError):
    """More decoder layers are to be trained than the model has."""

    def __init__(self, asked: int, layers: int) -> None:
        super().__init__(
            "TOO_FEW_LAYERS",
            f"trainableLayers is {asked}, but the model has {layers} decoder layers.",
            f"Set trainableLayers to at most {layers}, or use FULL.",
        )


class NothingTrainable(TrainingError):
    """The method leaves no parameter that training could move."""

    def __init__(self, method: str) -> None:
        super().__init__(
            "NOTHING_TRAINABLE",
            f"{method} as it is set leaves no parameter of the model trainable.",
            "Set trainableLayers to 1 or more, or trainEmbeddings to true.",
        )


class BitsandbytesUnavailable(TrainingError):
    """bitsandbytes is missing, or has no code for this machine's device."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(
            "BITSANDBYTES_UNAVAILABLE",
            f"bitsandbytes does not work on {device} here: {reason}.",
            "Use LORA with the optimizer ADAMW, which do without, or another machine.",
        )


class StartUnusable(TrainingError):
    """The version or checkpoint that the run was to start from cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            "START_UNUSABLE",
            f"The run cannot start from {name}: {reason}.",
            "Start from another version or checkpoint, or from the base model.",
        )


class NothingTrained(TrainingError):
    """The run moves no weight, so going on would only cost time."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "NOTHING_TRAINED",
            f"The training changes nothing: {reason}.",
            "Raise the learning rate, or check targetModules.",
        )


class OutOfMemory(TrainingError):
    """Memory ran out on the machine or on its accelerator."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "OUT_OF_MEMORY",
            f"The machine ran out of memory: {detail or 'an allocation was refused'}.",
            "Lower maxSequenceLength: what is held at once is at least the longest row.",
        )

    @classmethod
    def beside(
        cls,
        error: "OutOfMemory",
        estimate: MemoryEstimate,
        *,
        used_bytes: int,
        available_bytes: int,
    ) -> Self:
        """The same error with what was held by then, and what had been estimated."""
        message = (
            f"{error.message} At most {in_words(used_bytes)} had been held and "
            f"{in_words(available_bytes)} could be; {estimate.described()}."
        )
        return cls.restore(error.code, message, estimate.remedy())


class DiskFull(TrainingError):
    """No space is left for a file; what was written before it is intact."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "DISK_FULL",
            f"The disk is full: {path} could not be written. Older checkpoints are intact.",
            "Free space, or lower checkpointing.keepBest, and start the job again to resume it.",
        )


class BestCheckpointMismatch(TrainingError):
    """The best checkpoint, loaded again, does not score what it scored when it was saved."""

    def __init__(self, name: str, recorded: float, measured: float) -> None:
        super().__init__(
            "BEST_CHECKPOINT_MISMATCH",
            f"Checkpoint {name} was saved with loss {recorded:.6f} but scores {measured:.6f}.",
            "Check the machine's memory and disk, and run the job again.",
        )


class ParityFailed(TrainingError):
    """The exported file does not behave as the trained model does."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "PARITY_FAILED",
            f"The exported file is not the trained model: {reason}.",
            "Nothing of it is offered. Choose a weightType of more bits, if you chose one, or report "
            "this with the model's name.",
        )
