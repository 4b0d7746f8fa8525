"""What is measured of a version, as types; each figure with its definition."""

import strawberry

from training.evaluation import labels as judged
from training.evaluation import spec

__all__ = ["EvaluationResult"]


@strawberry.type(
    description="Generated answers beside the expected ones, compared as SQuAD does (Rajpurkar et al., "
    "2016): in lower case, without punctuation and English articles. Means over records, 0 to 1."
)
class AnswerFigures:
    records: int = strawberry.field(description="Records that have an answer.")
    exact_match: float = strawberry.field(description="The share of answers that are the same.")
    precision: float = strawberry.field(description="Words that are expected, of those given.")
    recall: float = strawberry.field(description="Words that are given, of those expected.")
    f1: float = strawberry.field(
        description="The harmonic mean of both, record by record, and then the mean of that."
    )
    cut: int = strawberry.field(description="Answers that did not end within the tokens allowed.")


@strawberry.type(description="How well one label is chosen.")
class ClassFigures:
    label: str = strawberry.field(description="The answer that is the label.")
    precision: float = strawberry.field(
        description="Records that have it, of those that it was chosen for; 0 where it never was."
    )
    recall: float = strawberry.field(
        description="Records that it was chosen for, of those that have it; 0 where none has."
    )
    f1: float = strawberry.field(description="The harmonic mean of both.")
    support: int = strawberry.field(description="Records that have it.")


@strawberry.type(description="The records whose label was chosen with about the same confidence.")
class ConfidenceBin:
    from_confidence: float = strawberry.field(description="Above this one, …")
    to_confidence: float = strawberry.field(description="… and up to this one.")
    count: int = strawberry.field(description="How many there are.")
    confidence: float = strawberry.field(description="The mean of theirs; 0 where there are none.")
    accuracy: float = strawberry.field(
        description="The share of right ones; 0 where there are none."
    )


@strawberry.type(
    description="Answers that are labels: 2 to 50 different ones, of two records each on average. For "
    "each record the label is chosen whose tokens are likeliest after the prompt. Macro "
    "figures are means over labels, each counting alike."
)
class LabelFigures:
    accuracy: float = strawberry.field(description="The share of records whose label was chosen.")
    macro_precision: float = strawberry.field(description="The mean of the labels' precision.")
    macro_recall: float = strawberry.field(description="The mean of the labels' recall.")
    macro_f1: float = strawberry.field(name="macroF1", description="The mean of the labels' F1.")
    calibration_error: float = strawberry.field(
        description="By how much the confidence of ten bins differs from their accuracy, weighted by "
        "their records: the expected calibration error (Guo et al., 2017)."
    )
    classes: list[ClassFigures] = strawberry.field(description="Label by label.")
    bins: list[ConfidenceBin] = strawberry.field(description="Confidence by tenths.")

    @classmethod
    def of(cls, found: judged.LabelFigures) -> "LabelFigures":
        figures = found.model_dump(exclude={"classes", "bins"})
        return cls(
            **figures,
            classes=[ClassFigures(**each.model_dump()) for each in found.classes],
            bins=[ConfidenceBin(**each.model_dump()) for each in found.bins],
        )


@strawberry.type(description="What was measured of one model.")
class ModelFigures:
    loss: float = strawberry.field(
        description="Mean cross-entropy in nats over the tokens that bear loss, as in training."
    )
    perplexity: float = strawberry.field(description="The exponential of the loss.")
    token_accuracy: float = strawberry.field(
        description="The share of those tokens whose likeliest prediction is right, 0 to 1."
    )
    answers: AnswerFigures | None = strawberry.field(
        description="Null where records have no answer apart from a prompt, or none were generated."
    )
    labels: LabelFigures | None = strawberry.field(
        description="Null where answers are no labels; `unlabelled` says why."
    )

    @classmethod
    def of(cls, found: spec.Figures) -> "ModelFigures":
        return cls(
            loss=found.loss,
            perplexity=found.perplexity,
            token_accuracy=found.token_accuracy,
            answers=None if found.answers is None else AnswerFigures(**found.answers.model_dump()),
            labels=None if found.labels is None else LabelFigures.of(found.labels),
        )


@strawberry.type(description="Test records that the version has seen in training.")
class SeenRecords:
    count: int = strawberry.field(
        description="How many are, equal in everything, in the dataset that it was trained on, be it "
        "among the records that were held out there."
    )
    lines: list[int] = strawberry.field(
        description="Their places in the test dataset, from 1: the first 20."
    )


@strawberry.type(description="What was measured of a version, and of its base.")
class EvaluationResult:
    records: int = strawberry.field(description="Records that were measured.")
    trained_tokens: int = strawberry.field(description="Tokens of theirs that bear loss.")
    dropped: int = strawberry.field(
        description="Records left out: too long for the version's maxSequenceLength, or without a "
        "token that bears loss."
    )
    dropped_lines: list[int] = strawberry.field(
        description="Their places in the test dataset, from 1: the first 20."
    )
    tuned: ModelFigures = strawberry.field(description="The version.")
    base: ModelFigures | None = strawberry.field(
        description="Its base model on the same records; null if that was not asked for."
    )
    seen: SeenRecords | None = strawberry.field(
        description="Test records that it was trained on, which make its figures look better than it "
        "is; null if what it was trained on was deleted."
    )
    unlabelled: str | None = strawberry.field(
        description="Why answers were not judged as labels; null where they were."
    )
    seconds: float = strawberry.field(description="How long it took.")

    @classmethod
    def of(cls, found: spec.EvaluationResult) -> "EvaluationResult":
        seen = found.seen
        return cls(
            records=found.records,
            trained_tokens=found.trained_tokens,
            dropped=found.dropped,
            dropped_lines=list(found.dropped_lines),
            tuned=ModelFigures.of(found.tuned),
            base=None if found.base is None else ModelFigures.of(found.base),
            seen=None if seen is None else SeenRecords(count=seen.count, lines=list(seen.lines)),
            unlabelled=found.unlabelled,
            seconds=found.seconds,
        )
