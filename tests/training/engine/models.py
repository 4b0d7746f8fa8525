"""Small models of many architectures, and rows for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from training.data.rendering import IGNORED, Row
from training.engine.gradients import Gradients

VOCABULARY: Final = 300
_SIZES: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_LLAMA3_ANGLES: Final = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

CONFIGS: Final[Mapping[str, Callable[[], PretrainedConfig]]] = {
    "llama": lambda: LlamaConfig(**_SIZES, tie_word_embeddings=True),
    "llama, biases": lambda: LlamaConfig(**_SIZES, attention_bias=True),
    "llama, scaled angles": lambda: LlamaConfig(**_SIZES, rope_parameters=_LLAMA3_ANGLES),
    "qwen2": lambda: Qwen2Config(**_SIZES, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=32),
    "mistral, window": lambda: MistralConfig(**_SIZES, sliding_window=16),
    "gemma2, window and caps": lambda: Gemma2Config(**_SIZES, head_dim=16, sliding_window=16),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=256,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    ),
}


def make_model(name: str, **changes: object) -> PreTrainedModel:
    """A model with random weights, none of them zero; the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CONFIGS[name]()
        for option, value in changes.items():
            setattr(config, option, value)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def make_row(line: int, length: int) -> Row:
    """A row of random tokens, the latter half of which bears loss."""
    generator = torch.Generator().manual_seed(line)
    ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
    half = length // 2
    return Row(line, ids, [IGNORED] * half + ids[half:], str(line).encode())


def make_rows(*lengths: int) -> list[Row]:
    return [make_row(line, length) for line, length in enumerate(lengths, start=1)]


def reference(model: PreTrainedModel, rows: Sequence[Row]) -> tuple[float, torch.Tensor]:
    """The summed loss of rows, each by itself, and the gradient of their mean, by the library."""
    model.zero_grad()
    tokens = sum(row.trained_tokens for row in rows)
    total = 0.0
    for row in rows:
        ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss * row.trained_tokens
        (loss / tokens).backward()
        total += loss.item()
    gradient = torch.cat([each.grad.flatten() for each in model.parameters() if each.requires_grad])
    model.zero_grad()
    return total, gradient


def taken(model: PreTrainedModel, gradients: Gradients) -> torch.Tensor:
    """The gradients of all trainable parameters in a row."""
    found = [gradients.take(each) for each in model.parameters() if each.requires_grad]
    assert all(each is not None for each in found)
    return torch.cat([each.flatten() for each in found])


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The length of the difference of two vectors, relative to the second."""
    return float((found - wanted).norm() / wanted.norm())
