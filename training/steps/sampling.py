"""Which records of a dataset a run takes, where it does not take all: a function of the seed."""

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from training.config import TrainingConfig
from training.data.labels import Labels, Unlabelled, find_labels
from training.data.records import Record, canonical_line
from training.data.splitting import Digests, drawn_by_label
from training.data.token_cache import RecordFile, records_at
from training.data.token_file import Integers
from training.steps.batches import sample

__all__ = ["Sampled", "labels_of", "sampled"]


class Sampled(NamedTuple):
    """The places of the records that a run takes, from 0, in order; None for all of them."""

    places: Integers | None
    labels: Labels | Unlabelled | None = None
    """What each label was drawn in its share of, with a label for every record of the dataset, or
    why not; None where that was not asked."""


def sampled(records: RecordFile, total: int, config: TrainingConfig) -> Sampled:
    """What the config takes of so many records: the first ones, or with `shuffle` any; with
    `stratify` so many of each label as it has of the whole. Raises `DatasetDamaged`."""
    count, shuffle, seed = config.max_samples, config.shuffle, config.seed
    if count is None or count >= total or not config.stratify:
        return Sampled(sample(total, count, shuffle=shuffle, seed=seed))
    labels = find_labels(records.data_type, _told_apart(records, total))
    if not isinstance(labels, Labels):
        return Sampled(sample(total, count, shuffle=shuffle, seed=seed), labels)
    return Sampled(drawn_by_label(labels.of_record, count, shuffle=shuffle, seed=seed), labels)


def labels_of(
    drawn: Sampled, records: RecordFile, lines: Integers, contents: Digests
) -> Labels | Unlabelled:
    """The labels of the records at some lines, with the digests of their contents: those that the
    records were drawn by, where they were. Raises `DatasetDamaged`."""
    if isinstance(drawn.labels, Labels):
        of_record = np.asarray(drawn.labels.of_record)[lines - 1]
        return drawn.labels._replace(of_record=of_record.tolist())
    if drawn.labels is not None:
        return drawn.labels
    digests = (content.tobytes() for content in contents)
    found = zip(digests, records_at(records, lines), strict=True)
    return find_labels(records.data_type, found)


def _told_apart(records: RecordFile, total: int) -> Iterator[tuple[bytes, Record]]:
    """All records, each with a digest of its content."""
    for record in records_at(records, np.arange(1, total + 1)):
        yield sha256(canonical_line(record)).digest(), record
