"""How long a dataset's rows will be in tokens, told from its statistics before it is tokenised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Final, NamedTuple

from training.config import DataType, OnTooLong, TrainingConfig, TrainOn
from training.data.records import Statistics, canonical_line
from training.models.facts import TokenizerFacts
from training.steps.schedule import total_steps, validation_rows

_PARTS: Final = 20
"""Into so many equal parts the records are thought to be divided by their length."""


@dataclass(frozen=True)
class Stored:
    """A dataset as its row describes it."""

    data_type: DataType
    size_bytes: int
    """Of the canonical file."""
    statistics: Statistics


@dataclass(frozen=True)
class ExpectedRows:
    """The rows that a run will train on. Lengths are in tokens, cut at the longest allowed."""

    count: int
    steps: int
    """Of the whole run."""
    mean: float
    deviation: float
    longest: float
    trained_share: float | None
    """Of tokens, those that bear loss where answers do; None where the statistics do not say."""

    def trained_tokens(self, config: TrainingConfig) -> int | None:
        """How many tokens bear loss over the whole run, each as often as it is seen."""
        if self.trained_share is None:
            return None
        rows = min(self.steps * rows_per_step(config), self.count * config.epochs)
        return round(rows * self.mean * self.trained_share)

    def step_tokens(self, rows: float) -> tuple[float, float]:
        """Tokens of the lightest and of the heaviest of all steps of so many rows, drawn at random:
        of n normally distributed numbers these lie about the root of 2 ln n deviations apart from
        the mean."""
        apart = self.deviation * math.sqrt(2 * rows * math.log(max(1, self.steps)))
        mean = rows * self.mean
        return max(rows, mean - apart), min(rows * self.longest, mean + apart)


def rows_per_step(config: TrainingConfig) -> int:
    """Examples of an optimizer step."""
    return config.batch_size * config.gradient_accumulation_steps


def training_rows(records: int, config: TrainingConfig) -> int:
    """How many of so many records are trained on."""
    samples = min(records, config.max_samples or records)
    return samples - validation_rows(samples, config.validation_split)


def tested_rows(records: int, config: TrainingConfig, *, held_out: int | None) -> int:
    """How many records are tested with: all of a dataset of its own, `held_out`, or else a share of
    so many records."""
    if held_out is not None:
        return held_out
    samples = min(records, config.max_samples or records)
    return validation_rows(samples, config.validation_split)


def expected_rows(
    dataset: Stored, tokenizer: TokenizerFacts, config: TrainingConfig
) -> ExpectedRows | None:
    """The rows; None where there are none."""
    statistics = dataset.statistics
    count = training_rows(statistics.records, config)
    if count < 1 or not statistics.characters:
        return None
    limit = config.max_sequence_length
    lengths = token_lengths(dataset, tokenizer)
    taken = lengths.typical
    if config.on_too_long is OnTooLong.DROP:
        taken = tuple(each for each in taken if each <= limit)
        count = round(count * len(taken) / len(lengths.typical))
    if count < 1:
        return None
    tokens = [min(limit, each) for each in taken]
    return ExpectedRows(
        count=count,
        steps=total_steps(count, config),
        mean=fmean(tokens),
        deviation=pstdev(tokens),
        longest=min(limit, lengths.longest),
        trained_share=_trained_share(dataset, config.train_on),
    )


class TokenLengths(NamedTuple):
    """How long rows would be if none were cut."""

    typical: tuple[float, ...]
    """Shortest first, each for an equal share of the rows."""
    longest: float
    trained_share: float | None
    """Of tokens, those that bear loss; None where the statistics do not say."""


def token_lengths(dataset: Stored, tokenizer: TokenizerFacts) -> TokenLengths:
    """The lengths of the rows of a dataset that has any."""
    statistics = dataset.statistics
    per_character = _bytes_per_character(dataset) / tokenizer.bytes_per_token
    frame = 1 + tokenizer.tokens_per_message * _messages(dataset)
    return TokenLengths(
        typical=tuple(frame + per_character * characters for characters in _lengths(statistics)),
        longest=frame + per_character * statistics.length_percentiles[-1][1],
        trained_share=_trained_share(dataset, TrainOn.ASSISTANT),
    )


def _trained_share(dataset: Stored, train_on: TrainOn) -> float | None:
    """Of a record's tokens, those that bear loss; how long last turns are is not known."""
    statistics = dataset.statistics
    if train_on is TrainOn.ALL:
        return 1.0
    if train_on is TrainOn.LAST_ASSISTANT and dataset.data_type is DataType.CHAT:
        return None
    trained = statistics.trained_characters
    return None if trained is None else trained / statistics.characters


def _lengths(statistics: Statistics) -> list[float]:
    """A typical number of characters for each part of the records, of the true mean."""
    points = ((0, statistics.length_percentiles[0][1]), *statistics.length_percentiles)
    typical = [_between(points, 100 * (part + 0.5) / _PARTS) for part in range(_PARTS)]
    scale = statistics.characters / statistics.records / max(1.0, fmean(typical))
    return [scale * each for each in typical]


def _between(points: Sequence[tuple[int, int]], percent: float) -> float:
    """What lies at a percentile, on straight lines between those that are known."""
    for (low, start), (high, end) in pairwise(points):
        if percent <= high:
            return start + (end - start) * (percent - low) / max(1, high - low)
    return points[-1][1]


def _bytes_per_character(dataset: Stored) -> float:
    """Of content in UTF-8, told from the file's size without what JSON adds."""
    statistics = dataset.statistics
    added = statistics.records * len(canonical_line(_EMPTY[dataset.data_type]))
    added += (statistics.turns or 0) * len(canonical_line({"content": "", "role": "assistant"}))
    return min(4.0, max(1.0, (dataset.size_bytes - added) / statistics.characters))


def _messages(dataset: Stored) -> float:
    """How many the chat template frames in a row."""
    if dataset.data_type is DataType.QA:
        return 2.0
    return (dataset.statistics.turns or 0) / dataset.statistics.records


_EMPTY: Final[dict[DataType, dict[str, object]]] = {
    DataType.TEXT: {"text": ""},
    DataType.CODE: {"code": ""},
    DataType.QA: {"question": "", "answer": ""},
    DataType.COMPLETION: {"prompt": "", "completion": ""},
    DataType.CHAT: {"messages": []},
}
