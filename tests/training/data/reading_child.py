"""Reads files within a limit on memory: `python -m tests.training.data.reading_child FILE...`.

Writes for each what came of it, and at last the most memory that was held.
"""

import json
import re
import resource
import sys
from collections import Counter
from pathlib import Path

from training.data.containers.reading import open_contents
from training.data.formats.conversion import Converter
from training.data.formats.detection import detect
from training.data.records import Rejected
from training.errors import SourceUnreadable

ADDRESS_SPACE = 1536 * 1024 * 1024
"""pyarrow alone reserves most of a gigabyte, and uses little of it."""


def main() -> None:
    """Read them all."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for path in map(Path, sys.argv[1:]):
        sys.stdout.write(json.dumps(outcome(path)) + "\n")
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    sys.stdout.write(f"{int(peak[1]) * 1024}\n")


def outcome(path: Path) -> dict[str, int]:
    """How many records there are, and how many rows were refused for each reason; or why the
    whole file was."""
    found: Counter[str] = Counter()
    with path.open("rb") as file:
        try:
            mapping = detect(open_contents(file, name=path.name).rows)
            file.seek(0)
            for row in Converter(mapping).records(open_contents(file, name=path.name).rows):
                found[row.code if isinstance(row, Rejected) else "RECORDS"] += 1
        except SourceUnreadable as error:
            return {error.code: 1}
    return dict(found)


if __name__ == "__main__":
    main()
