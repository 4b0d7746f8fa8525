"""One arm of a peer: `python -P peer.py ARM FOLDER SOURCE CANONICAL MODEL`, in the peers' environment.

Imports nothing of ours but the stopwatch, which lies beside it. The datasets to be tokenised are
loaded, and the models built, before the time is taken.
"""

import json
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset, disable_progress_bars, load_dataset
from transformers import AutoTokenizer
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parent))
from measured import Stopwatch, ids_proof, lines_proof  # type: ignore[import-not-found]  # beside this file

ROLES = {"human": "user", "gpt": "assistant"}


def main() -> None:
    """Do what the arm does."""
    arm = sys.argv[1]
    folder, source, canonical, model = map(Path, sys.argv[2:])
    logging.set_verbosity_error()
    disable_progress_bars()
    if arm == "datasets-ingest":
        _ingest(source, folder)
        return
    records = _loaded(canonical, folder)
    tokenizer = AutoTokenizer.from_pretrained(model)
    if arm == "trl-tokenise":
        _by_trl(records, tokenizer, folder)
    else:
        _by_map(records, tokenizer, folder, batched=arm == "datasets-tokenise-batched")


def _loaded(path: Path, folder: Path) -> Dataset:
    return load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(folder / "cache")
    )


def _ingest(source: Path, folder: Path) -> None:
    watch = Stopwatch()
    rows = _loaded(source, folder)
    records = rows.map(_as_messages, remove_columns=rows.column_names)
    watch.stop()
    lines = (
        json.dumps(
            {"messages": [{"content": m["content"], "role": m["role"]} for m in row["messages"]]},
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for row in records
    )
    watch.write(folder, **lines_proof(lines))


def _as_messages(row: dict[str, Any]) -> dict[str, Any]:
    turns = row["conversations"]
    return {"messages": [{"role": ROLES[t["from"]], "content": t["value"]} for t in turns]}


def _by_map(records: Dataset, tokenizer: Any, folder: Path, *, batched: bool) -> None:
    def tokenise(row: dict[str, Any]) -> dict[str, Any]:
        ids = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)
        return {"input_ids": ids}

    watch = Stopwatch()
    rows = records.map(tokenise, batched=batched, remove_columns=records.column_names)
    watch.stop()
    watch.write(folder, **ids_proof(row["input_ids"] for row in rows))


def _by_trl(records: Dataset, tokenizer: Any, folder: Path) -> None:
    """What `SFTTrainer` does before its first step; the model is as small as one can be."""
    from transformers import LlamaConfig, LlamaForCausalLM  # heavy, and for this arm alone
    from trl import SFTConfig, SFTTrainer

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    model = LlamaForCausalLM(config)
    arguments = SFTConfig(
        output_dir=str(folder / "trl"),
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to=[],
        gradient_checkpointing=False,
    )
    watch = Stopwatch()
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=records, processing_class=tokenizer
    )
    watch.stop()
    watch.write(folder, **ids_proof(row["input_ids"] for row in trainer.train_dataset))


if __name__ == "__main__":
    main()
