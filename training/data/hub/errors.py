"""What keeps a hub dataset from getting here."""

from typing import Final

from training.data.fields import shortened
from training.errors import TrainingError

__all__ = ["HubUnavailable"]

_CHARACTERS: Final = 3000
"""Room for every name that is listed."""


class HubUnavailable(TrainingError):
    """A dataset of the Hugging Face hub cannot be had. Names that a stranger chose are told as text that
    any database stores."""

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        message = f"The hub's dataset cannot be had: {reason}."
        super().__init__(code, shortened(message, _CHARACTERS), shortened(remedy, _CHARACTERS))
