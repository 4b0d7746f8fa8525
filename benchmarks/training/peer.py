"""One peer's run: `python -P peer.py FOLDER`, in the peers' environment; imports nothing of ours.

Reads `spec.json` from the folder, trains on rows that are tokens and labels already, saves what it
trained to `model/`, and leaves `figures.json`. Times are seconds since the epoch, so that they compare with the start of the
process, which only its parent knows.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

IGNORED = -100


def main() -> None:
    """Train as the spec says."""
    spec: dict[str, Any] = json.loads((Path(sys.argv[1]) / "spec.json").read_text())
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    output = Path(spec["output"])
    with Path(spec["rows"]).open() as file:
        rows = [json.loads(line) for line in file]
    dataset = Dataset.from_list(rows)
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    set_seed(42)
    watch = Watch()
    make = _sft_trainer if spec["arm"].startswith("trl") else _plain_trainer
    trainer = make(spec, dataset, tokenizer)
    trainer.add_callback(watch)
    trainer.pop_callback(PrinterCallback)
    trainer.data_collator = Counting(trainer.data_collator)
    trainer.train()
    trainer.save_model(str(output / "model"))
    figures = watch.figures() | trainer.data_collator.figures()
    (output / "figures.json").write_text(json.dumps(figures))


def _plain_trainer(spec: dict[str, Any], dataset: Dataset, tokenizer: Any) -> Trainer:
    model = _base(spec)
    if spec["method"] == "LORA":
        model = get_peft_model(model, _lora(spec["rank"]))
    arguments = TrainingArguments(
        per_device_train_batch_size=spec["batch_size"],
        gradient_checkpointing=spec["arm"] == "trainer-checkpointing",
        **_common(spec),
    )
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=IGNORED)
    return Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=collator)


def _sft_trainer(spec: dict[str, Any], dataset: Dataset, tokenizer: Any) -> Trainer:
    from trl import SFTConfig, SFTTrainer  # heavy, and only its own arms shall pay for it

    options: dict[str, Any] = {"per_device_train_batch_size": spec["batch_size"]}
    if spec["arm"].startswith("trl-packing"):
        options |= {"packing": True, "max_length": spec["pack_length"]}
    if spec["arm"] == "trl-padding-free-fused":
        options |= {"padding_free": True, "max_length": None}
    if spec["arm"] != "trl":
        options["gradient_checkpointing"] = False
    return SFTTrainer(
        model=_base(spec),
        args=SFTConfig(**_common(spec), **options),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=_lora(spec["rank"]) if spec["method"] == "LORA" else None,
    )


def _base(spec: dict[str, Any]) -> Any:
    """Frozen weights in bf16, trained ones in fp32 under autocast, as LLaMA-Factory loads them."""
    dtype = torch.bfloat16 if spec["method"] == "LORA" else torch.float32
    attention = "flash_attention_2" if _is_fused(spec) else "sdpa"
    return AutoModelForCausalLM.from_pretrained(
        spec["model"], dtype=dtype, attn_implementation=attention
    )


def _is_fused(spec: dict[str, Any]) -> bool:
    """Whether the arm has FlashAttention and Liger's kernels, as only a GPU can."""
    return str(spec["arm"]).endswith("-fused")


def _lora(rank: int) -> LoraConfig:
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _common(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "output_dir": spec["output"],
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
        "use_liger_kernel": _is_fused(spec),
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": spec["learning_rate"],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "dataloader_pin_memory": False,
    }


class Watch(TrainerCallback):
    """Notes when the loop began, took its first step and ended, and what each step said."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._ends: list[float] = []
        self._losses: list[float] = []
        self._norms: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The loop begins."""
        self._times["began"] = time.time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """An optimizer step is done."""
        self._times.setdefault("first_step", time.time())
        self._ends.append(time.time())

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """The loop has ended."""
        self._times["ended"] = time.time()

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        """A step's loss and gradient norm, or the summary, which has neither."""
        if "loss" in logs:
            self._losses.append(logs["loss"])
            self._norms.append(logs["grad_norm"])

    def figures(self) -> dict[str, Any]:
        """All of it."""
        return self._times | {
            "losses": self._losses,
            "gradient_norms": self._norms,
            "step_ends": self._ends,
            "cuda_peak_bytes": torch.cuda.max_memory_allocated(),  # 0 where there is no GPU
        }


class Counting:
    """A collator that counts, batch by batch, what it hands to the model."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator
        self._tokens: list[int] = []
        self._label_tokens: list[int] = []

    def __call__(self, examples: list[Any]) -> Any:
        """The wrapped collator's batch."""
        batch = self._collator(examples)
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        self._tokens.append(tokens)
        self._label_tokens.append(int((batch["labels"] != IGNORED).sum()))
        return batch

    def figures(self) -> dict[str, list[int]]:
        """Tokens without padding and tokens that bear loss, a figure a batch."""
        return {"tokens": self._tokens, "label_tokens": self._label_tokens}


if __name__ == "__main__":
    main()
