"""What a version must be to go into production."""

from collections.abc import Mapping

import strawberry

from jobs.registry.figures import Figure
from jobs.registry.gates import Gate
from schema import ids
from schema.context import Info
from schema.data.datasets import Dataset
from schema.enums import describe

__all__ = ["ActivationGate", "ActivationGateInput"]

describe(
    Figure,
    "A figure of an evaluation.",
    {
        "LOSS": "Mean cross-entropy in nats over the tokens that bear loss; less is better.",
        "PERPLEXITY": "The exponential of the loss; less is better.",
        "TOKEN_ACCURACY": "The share of tokens whose likeliest prediction is right.",
        "EXACT_MATCH": "The share of generated answers that are the expected one.",
        "PRECISION": "Words of generated answers that are expected, of those given.",
        "RECALL": "Words of expected answers that are given, of those expected.",
        "F1": "The harmonic mean of both, record by record, and then the mean of that.",
        "LABEL_ACCURACY": "The share of records whose label was chosen.",
        "MACRO_PRECISION": "The mean of the labels' precision.",
        "MACRO_RECALL": "The mean of the labels' recall.",
        "MACRO_F1": "The mean of the labels' F1.",
        "CALIBRATION_ERROR": "By how much the confidence in labels differs from their accuracy; less is "
        "better.",
    },
    name="EvaluationFigure",
)

_BOUND = "The least that it must be, or the most of one of which less is better; null for any."
_NOT_WORSE = (
    "Whether it must be as good as that of the ACTIVE version, and both measured on the same records "
    "with the same options."
)


@strawberry.type(description="What a figure of a version's newest evaluation must be.")
class FigureBound:
    figure: Figure = strawberry.field(description="Which one.")
    bound: float | None = strawberry.field(description=_BOUND)
    not_worse: bool = strawberry.field(description=_NOT_WORSE)


@strawberry.type(description="What a version must be to go into production.")
class ActivationGate:
    min_accuracy: float | None = strawberry.field(
        description="The least share of tokens foretold of the rows held out; null for any."
    )
    max_loss: float | None = strawberry.field(
        description="The most loss over the rows held out, in nats a token; null for any."
    )
    not_worse: bool = strawberry.field(
        description="Whether its loss must be at most that of the ACTIVE version, on the same rows."
    )
    figures: list[FigureBound] = strawberry.field(
        description="What its newest READY evaluation must show."
    )
    test_dataset_sha256: str | None = strawberry.field(
        description="Of the records that the evaluation must be on; null for any."
    )
    gate: strawberry.Private[Gate]

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "ActivationGate":
        gate = Gate.model_validate(stored)
        return cls(
            min_accuracy=gate.min_accuracy,
            max_loss=gate.max_loss,
            not_worse=gate.not_worse,
            figures=[FigureBound(**each.model_dump()) for each in gate.figures],
            test_dataset_sha256=gate.test_dataset_sha256,
            gate=gate,
        )

    @strawberry.field(
        description="The dataset with those records; null for any, and if it was deleted or is not yours."
    )
    async def test_dataset(self, info: Info) -> Dataset | None:
        key = self.gate.test_dataset_id
        return None if key is None else await info.context.loaders.datasets.load(key)


@strawberry.input(
    description="What a figure of a version's newest evaluation must be: within a bound, no worse than "
    "that of the ACTIVE version, or both."
)
class FigureBoundInput:
    figure: Figure = strawberry.field(description="Which one.")
    bound: float | None = strawberry.field(default=None, description=_BOUND)
    not_worse: bool = strawberry.field(default=False, description=_NOT_WORSE)


@strawberry.input(
    description="What a version must be to go into production: by what was measured on the rows held out "
    "from its training, and by its newest READY evaluation. What was not measured passes no bound."
)
class ActivationGateInput:
    min_accuracy: float | None = strawberry.field(
        default=None, description="The least share of tokens foretold, 0 to 1."
    )
    max_loss: float | None = strawberry.field(
        default=None, description="The most loss, in nats a token."
    )
    not_worse: bool = strawberry.field(
        default=False,
        description="Whether its loss must be at most that of the ACTIVE version, and both measured "
        "on the same rows.",
    )
    figures: list[FigureBoundInput] = strawberry.field(
        default_factory=list, description="What its newest READY evaluation must show."
    )
    test_dataset_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The dataset that the evaluation must be on; the newest on any, where left out.",
    )

    def bounds(self) -> dict[str, object]:
        key = self.test_dataset_id
        return strawberry.asdict(self) | {
            "test_dataset_id": None if key is None else ids.decode(ids.Kind.DATASET, key)
        }
