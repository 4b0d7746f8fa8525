"""Our arm of tokenising: `python -m benchmarks.data.tokenise FOLDER CANONICAL MODEL`.

Canonical records become ids and labels in an Arrow file. Leaves `figures.json` in the folder; what
proves the work is computed after it was timed.
"""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa  # type: ignore[import-untyped]  # it has no types

from benchmarks.data.measured import Stopwatch, ids_proof
from benchmarks.data.without_torch import AutoTokenizer
from training.config import DataType
from training.data.records import Record
from training.data.rendering import Renderer

BATCH: Final = 512
NO_LIMIT: Final = 2**31


def main() -> None:
    """Read, render, and write."""
    folder, canonical = map(Path, sys.argv[1:3])
    model = sys.argv[3]
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert isinstance(tokenizer.eos_token_id, int)
    renderer = Renderer(
        tokenizer,
        DataType.CHAT,
        stop_token_ids=frozenset({tokenizer.eos_token_id}),
        max_length=NO_LIMIT,
    )
    schema = pa.schema({"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())})
    path = folder / "rows.arrow"
    watch = Stopwatch()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        records = _records(canonical)
        while batch := list(islice(records, BATCH)):
            rows = renderer.render(batch).rows
            columns = [[row.input_ids for row in rows], [row.labels for row in rows]]
            stream.write_batch(pa.record_batch(columns, schema=schema))
    watch.stop()
    with pa.memory_map(str(path)) as stored, pa.ipc.open_stream(stored) as stream:
        ids = (row.as_py() for batch in stream for row in batch.column(0))
        watch.write(folder, **ids_proof(ids))


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, json.loads(line)


if __name__ == "__main__":
    main()
