"""Why there is no answer."""

from training.errors import TrainingError

__all__ = ["ModelTooLarge", "PromptTooLong", "PromptUnusable"]


class PromptTooLong(TrainingError):
    """The conversation leaves no room for an answer."""

    def __init__(self, tokens: int, longest: int) -> None:
        super().__init__(
            "PROMPT_TOO_LONG",
            f"The conversation has {tokens} tokens; the model reads at most {longest}, the answer "
            "included.",
            "Send fewer or shorter messages.",
        )


class PromptUnusable(TrainingError):
    """The model's template cannot render the conversation."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "PROMPT_UNUSABLE",
            f"The conversation cannot be rendered: {reason}.",
            "Send messages that the model's chat template takes, such as one of the user's.",
        )


class ModelTooLarge(TrainingError):
    """The model does not fit into what may be held for answers."""

    def __init__(self, size_bytes: int, allowed_bytes: int) -> None:
        super().__init__(
            "MODEL_TOO_LARGE",
            f"The model takes {size_bytes} bytes; for answers {allowed_bytes} may be held.",
            "Raise TUNERY_SERVING_BYTES, or use a machine with more memory.",
        )
