"""A hub on this machine that child processes ask instead of the real one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.training.data.fake_hub import Hub, Repository, running_hub
from tests.training.data.files import jsonl, parquet

ROWS = [{"question": f"Number {n}?", "answer": f"{n}."} for n in range(30)]
REPOSITORIES = {
    "ann/sums": Repository(
        {
            "data/train-00000-of-00002.parquet": parquet(ROWS[:20]),
            "data/train-00001-of-00002.parquet": parquet(ROWS[20:]),
            "data/test-00000-of-00001.parquet": parquet(ROWS[:1]),
        }
    ),
    "ann/strange": Repository(
        {"a.jsonl": jsonl(*ROWS)},
        {"configs": [{"config_name": "a\0\ud800", "data_files": "a.jsonl"}]},
    ),
    "ann/bad": Repository({"train.jsonl": jsonl(*ROWS[:3], {"question": "why?"})}),
    "ann/gated": Repository({"train.jsonl": jsonl(*ROWS)}, gated_for="hf_secret"),
}
TRAIN_BYTES = sum(
    len(content) for name, content in REPOSITORIES["ann/sums"].files.items() if "train" in name
)


@contextmanager
def hub_for_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The environment of a worker whose hub this is, with no token."""
    with running_hub(REPOSITORIES) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub
