"""What is kept of a million records."""

import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.config import DataType
from training.data.doctor.examination import examine
from training.data.records import Record, canonical_line


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


CHILD = """
import re, sys
from pathlib import Path
from training.data.doctor.run import report
from training.data.doctor.spec import ExaminationSpec
spec = ExaminationSpec(path=sys.argv[1], data_type="QA").model_dump_json().encode()
found = report(spec, Path(sys.argv[1]).parent)
print(found.statistics.records)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_the_child_stays_below_300_megabytes_at_a_million_records(tmp_path: Path) -> None:
    peaks = []
    for count in (20_000, 60_000):
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(b"".join(canonical_line(record) for _, record in records(count)))
        child = [sys.executable, "-P", "-c", CHILD, str(path)]
        found = subprocess.run(child, check=True, capture_output=True, text=True)
        counted, peak = map(int, found.stdout.split())
        assert counted == count
        peaks.append(peak * 1024)
    each = (peaks[1] - peaks[0]) / 40_000
    assert peaks[1] + each * (1_000_000 - 60_000) < 300e6
