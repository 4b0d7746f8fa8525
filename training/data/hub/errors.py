"""What keeps a hub dataset from getting here."""

from training.errors import TrainingError

__all__ = ["HubUnavailable"]


class HubUnavailable(TrainingError):
    """A dataset of the Hugging Face hub cannot be had."""

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(code, f"The hub's dataset cannot be had: {reason}.", remedy)
