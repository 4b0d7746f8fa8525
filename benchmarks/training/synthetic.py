"""Models with random weights, a tokenizer for them, and longer rows: all from text that is here.

The text is the source code of Python and of transformers, so nothing is fetched. Lengths are
log-normal, which is how the lengths of real instructions lie.
"""

import math
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

Conversation = list[dict[str, str]]

VOCABULARY: Final = 32_000
SEED: Final = 0
TEXT_CHARACTERS: Final = 8_000_000
SPECIAL_TOKENS: Final = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_model(name: str, folder: Path) -> None:
    """Write `medium` (about 40M, 32k vocabulary), `wide` (about 100M, 151,936) or `large` (about 1B, 32k)
    to a folder."""
    tokenizer = _tokenizer()
    torch.manual_seed(SEED)
    dtype = torch.bfloat16 if name == "large" else torch.float32
    model = AutoModelForCausalLM.from_config(_config(name, tokenizer), dtype=dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def conversations(model: Path, count: int, *, times: int = 1) -> list[Conversation]:
    """Questions and answers of which every length is drawn by a fixed seed, and then multiplied.

    Text is stripped, so that no token reaches over the border of a turn.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    draw = random.Random(SEED)
    sources = [
        ids
        for text in list(_texts())[:200]
        if len(ids := tokenizer(text, add_special_tokens=False)["input_ids"]) > 1000
    ]
    talks: list[Conversation] = []
    while len(talks) < count:
        ids = draw.choice(sources)
        asked = min(480, times * _length(draw, 122, 0.65, 330))
        answered = min(480, times * _length(draw, 130, 0.65, 330))
        start = draw.randrange(len(ids) - asked - answered)
        question = str(tokenizer.decode(ids[start : start + asked])).strip()
        answer = str(tokenizer.decode(ids[start + asked : start + asked + answered])).strip()
        if question and answer:
            talks.append(
                [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            )
    return talks


def _length(draw: random.Random, median: int, spread: float, longest: int) -> int:
    return min(longest, max(8, int(draw.lognormvariate(math.log(median), spread))))


def _texts() -> Iterator[str]:
    """Source files in a fixed order, without those that spell special tokens."""
    roots = (Path(sysconfig.get_paths()["stdlib"]), Path(transformers.__file__).parent)
    files = [
        file
        for root in roots
        for file in sorted(root.rglob("*.py"))
        if "site-packages" not in file.relative_to(root).parts
    ]
    random.Random(SEED).shuffle(files)
    taken = 0
    for file in files:
        text = file.read_text(encoding="utf-8", errors="ignore")[:60_000]
        if len(text) < 200 or "<|" in text:
            continue
        yield text
        taken += len(text)
        if taken > TEXT_CHARACTERS:
            return


def _tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 32,000 tokens with a ChatML template."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(_texts(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _config(name: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    body = {
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    if name == "large":
        sizes = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
        heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64}
        return LlamaConfig(vocab_size=VOCABULARY, **(body | sizes | heads))
    if name == "wide":
        return Qwen3Config(vocab_size=151_936, head_dim=64, **body)
    return Qwen2Config(vocab_size=VOCABULARY, **body)
