"""Why there can be no GGUF file of a version."""

from training.errors import TrainingError
from training.export.errors import NotExportable
from training.export.spec import ExportFormat

__all__ = ["NotInGguf", "QuantisationFailed", "WeightsOverflow"]


class NotInGguf(NotExportable):
    """The model has a part that llama.cpp has no word for; a file without it would be another model."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExportFormat.GGUF, "The model", reason)


class WeightsOverflow(TrainingError):
    """A weight is larger than F16 can hold."""

    def __init__(self, name: str, largest: float) -> None:
        super().__init__(
            "WEIGHTS_OVERFLOW",
            f"The tensor {name} holds {largest:.3g}, and the largest number of F16 is 65504.",
            "Set weightType to BF16 or F32.",
        )


class QuantisationFailed(TrainingError):
    """llama.cpp refused to quantise the file."""

    def __init__(self, weight_type: str, reason: str) -> None:
        super().__init__(
            "QUANTISATION_FAILED",
            f"llama.cpp could not write {weight_type}: {reason}.",
            "Set weightType to another one; F32, F16 and BF16 do without its quantiser.",
        )
