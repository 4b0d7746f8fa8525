"""What is kept of a million records."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from training.config import DataType
from training.data.doctor.examination import examine
from training.data.records import Record


def records(count: int) -> Iterator[tuple[int, Record]]:
    draw = random.Random(0)
    for line in range(1, count + 1):
        text = f"{draw.getrandbits(200):x}"
        yield line, {"question": f"What is it, {text[:20]}?", "answer": text[20:]}


def peak_bytes(count: int) -> int:
    tracemalloc.start()
    try:
        examine(DataType.QA, records(count))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_million_records_take_less_than_150_megabytes() -> None:
    peak_bytes(3_000)  # the model of languages, once
    few, many = peak_bytes(5_000), peak_bytes(20_000)
    each = (many - few) / 15_000
    assert few + each * (1_000_000 - 5_000) < 150e6
