"""Our arm of tokenising: `python -m benchmarks.data.tokenise FOLDER CANONICAL MODEL`.

Canonical records become the token file that jobs read. Leaves `figures.json` in the folder; what proves
the work is computed after it was timed.
"""

import sys
from pathlib import Path
from typing import Final

from benchmarks.data.measured import Stopwatch, ids_proof
from benchmarks.data.without_torch import AutoTokenizer
from training.config import DataType
from training.data.rendering import Renderer
from training.data.token_cache import RecordFile, token_rows
from training.data.token_file import TokenTable
from training.files import sha256_of

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
    records = RecordFile(canonical, DataType.CHAT, sha256_of(canonical))  # which a dataset knows
    watch = Stopwatch()
    found = token_rows(
        *(records, renderer, (folder,)),
        should_stop=lambda: False,
        advanced=lambda _state: None,
    )
    watch.stop()
    assert found is not None
    table = TokenTable(found.path)
    lengths = table.tokens.tolist()
    ids = (table.input_ids(row, tokens) for row, tokens in enumerate(lengths))
    watch.write(folder, **ids_proof(ids))


if __name__ == "__main__":
    main()
