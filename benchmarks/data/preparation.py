"""Makes the data: `python -m benchmarks.data.preparation RECORDS PEERS`.

Conversations of `chitchat-dataset`, cut to sixteen turns at most, over again until there are enough; from
the second time on the first turn says which time it is, so that all differ.
"""

import json
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Final, TextIO

from benchmarks.data.workload import Workload

MOST_TURNS: Final = 16
SPEAKERS: Final = (("human", "user"), ("gpt", "assistant"))


def main() -> None:
    """Write both files."""
    records, peers = sys.argv[1:]
    workload = Workload(int(records))
    workload.folder.mkdir(parents=True, exist_ok=True)
    with workload.source.open("w") as source, workload.canonical.open("w") as canonical:
        for number, talk in enumerate(islice(_talks(Path(peers)), workload.records)):
            said = [
                {"from": SPEAKERS[turn % 2][0], "value": text} for turn, text in enumerate(talk)
            ]
            messages = [
                {"content": text, "role": SPEAKERS[turn % 2][1]} for turn, text in enumerate(talk)
            ]
            _write(source, {"id": number, "conversations": said})
            _write(canonical, {"messages": messages})


def _talks(peers: Path) -> Iterator[list[str]]:
    found = sorted(peers.glob("lib/python3.*/site-packages/chitchat_dataset/dataset.json"))
    if not found:
        raise SystemExit(f"chitchat-dataset is not in {peers}. Run: make bench-peers.")
    talks = []
    for talk in json.loads(found[0].read_bytes()).values():
        turns = [" ".join(part["text"] for part in turn).strip() for turn in talk["messages"]]
        texts = [text for text in turns if text]
        for start in range(0, len(texts) - 1, MOST_TURNS):
            part = texts[start : start + MOST_TURNS]
            talks.append(part[: len(part) // 2 * 2])
    for time in count():
        for talk in talks:
            yield [f"({time}) {talk[0]}", *talk[1:]] if time else talk


def _write(file: TextIO, value: object) -> None:
    file.write(json.dumps(value, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
