"""A real language model small enough to build and train within a test: tiny, and of no use else."""

from functools import cache
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CONTEXT_LENGTH: Final = 512
END_OF_TURN: Final = "<|im_end|>"

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SPECIAL_TOKENS: Final = ["<|endoftext|>", "<|im_start|>", END_OF_TURN]

_TEXT: Final = (
    "The capital of France is Paris. The capital of Italy is Rome.",
    "What is the capital of France? Which river flows through Paris? The Seine does.",
    "user assistant system question answer one two three four five six seven eight nine ten",
    "def add(first, second):\n    return first + second\n\nprint(add(1, 2))\n",
    "You are a helpful assistant. Please say yes or no. What colour is the sky? It is blue.",
    "How many legs has a spider? A spider has eight legs. How many legs has an ant? It has six.",
    "0 1 2 3 4 5 6 7 8 9 10 12 24 48 96 100 1000",
)


def make_tiny_model(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    """Write a Llama of about a million parameters with a byte-level tokenizer; the same each time.

    Its hidden size is a multiple of 256, as quantised formats want it.
    """
    tokenizer = _tokenizer()
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=256,
                intermediate_size=256,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=CONTEXT_LENGTH,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=tokenizer.convert_tokens_to_ids(END_OF_TURN),
                pad_token_id=0,
            )
        )
    model.save_pretrained(folder)
    return folder


_DECODERS: Final = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": 32}),
    "gemma2": (
        Gemma2Config,
        Gemma2ForCausalLM,
        {"head_dim": 16, "sliding_window": 32, "query_pre_attn_scalar": 16},
    ),
    "phi3": (Phi3Config, Phi3ForCausalLM, {}),
    "mixtral": (MixtralConfig, MixtralForCausalLM, {"num_local_experts": 4}),
    "gpt2": (GPT2Config, GPT2LMHeadModel, {"resid_pdrop": 0.0, "embd_pdrop": 0.0}),
}
ARCHITECTURES: Final = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gpt2")


def make_architecture(
    folder: Path, architecture: str, *, tied: bool = True, layers: int = 3
) -> Path:
    """Write a decoder of one of `ARCHITECTURES`, a `phi3`, or a `mixtral`, whose layers hold experts.

    It is 64 wide, and has the tokenizer of the tiny model.
    """
    tokenizer = _tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    kind, model_class, options = _DECODERS[architecture]
    config = kind(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=tokenizer.convert_tokens_to_ids(END_OF_TURN),
        pad_token_id=0,
        **({} if architecture == "gpt2" else {"intermediate_size": 128, "num_key_value_heads": 2}),
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config)
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_tokenizer()),
        bos_token="<|endoftext|>",
        eos_token=END_OF_TURN,
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT_LENGTH,
    )


@cache
def _trained_tokenizer() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=_SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    return tokenizer.to_str()
