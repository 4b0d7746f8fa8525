"""Where a run stands: all it must remember between two steps, beside tensors."""

from training.config import Frozen
from training.scores import Scores
from training.steps.early_stopping import Patience


class EpochMetrics(Frozen):
    """Token-weighted means of one epoch, counted from 1."""

    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    @property
    def score(self) -> float:
        """The loss by which epochs are compared: the validation loss where there is one."""
        return self.training_loss if self.validation_loss is None else self.validation_loss


class TrainingState(Frozen):
    """A step boundary of a run."""

    epoch: int = 0
    """Epochs completed."""
    step_in_epoch: int = 0
    """Optimizer steps done of the epoch in progress."""
    step: int = 0
    """Optimizer steps done in all."""
    scores: Scores = Scores()
    """Of the epoch in progress."""
    trained_tokens: int = 0
    """Tokens that bore loss, over all steps."""
    seconds: float = 0.0
    """Time spent training, over all attempts."""
    epoch_seconds: float = 0.0
    """The part of it spent on the epoch in progress."""
    closing_seconds: float = 0.0
    """The part of `seconds` spent validating and saving at the ends of epochs."""
    patience: Patience = Patience()
    history: tuple[EpochMetrics, ...] = ()
    stopped_early: bool = False
    token_budget: int | None = None
    """Tokens held at once, which memory may have lowered: other micro-batches round otherwise."""
    untrained: str = ""
    """A fingerprint of the trainable weights before the first step."""
