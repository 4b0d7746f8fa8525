"""Token-weighted loss and accuracy, as sums that add up over batches."""

from typing import NamedTuple


class Scores(NamedTuple):
    """Sums over tokens that bear loss."""

    loss_sum: float = 0.0
    correct: int = 0
    tokens: int = 0

    def plus(self, other: "Scores") -> "Scores":
        """The sums of both."""
        return Scores(
            self.loss_sum + other.loss_sum,
            self.correct + other.correct,
            self.tokens + other.tokens,
        )

    @property
    def loss(self) -> float:
        """Mean cross-entropy a token, in nats."""
        return self.loss_sum / max(1, self.tokens)

    @property
    def accuracy(self) -> float:
        """The share of tokens whose likeliest prediction is right, 0 to 1."""
        return self.correct / max(1, self.tokens)
