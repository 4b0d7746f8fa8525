"""When to stop: once validation loss has not fallen for too long."""

from training.config import EarlyStopping, Frozen


class Patience(Frozen):
    """What early stopping remembers between epochs. Epochs count from 1."""

    best_loss: float | None = None
    best_epoch: int = 0
    epochs_without_gain: int = 0

    def after(self, epoch: int, loss: float, policy: EarlyStopping) -> "Patience":
        """The memory once an epoch ended with this loss; a gain is a fall by more than `min_delta`."""
        if self.best_loss is None or loss < self.best_loss - policy.min_delta:
            return Patience(best_loss=loss, best_epoch=epoch)
        return self.model_copy(update={"epochs_without_gain": self.epochs_without_gain + 1})

    def is_exhausted(self, policy: EarlyStopping) -> bool:
        """Whether training should stop now."""
        return policy.enabled and self.epochs_without_gain >= policy.patience
