"""Small tokenizers of the three kinds that chat models have, with their own special tokens."""

from collections.abc import Sequence
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

TEXT = (
    "user assistant system tool You are a helpful assistant. What is the weather in Paris today?",
    "It is sunny, 21 degrees. Bye! See you. Hello there, how are you? Be brief.",
    "Answer with a JSON object: name, arguments, parameters, function, content, call_id.",
    "Environment: Cutting Knowledge Date: December 2023 Today Date: 26 Jul 2024",
)

LLAMA_3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 and Qwen2.5 cut texts before merging, which decides what a line feed joins."""


def byte_level(
    special: Sequence[str], *, bos: str | None, eos: str, adds_bos: bool = False
) -> PreTrainedTokenizerFast:
    """Like Llama 3's and Qwen's; `adds_bos` writes BOS before every text, as Llama 3's does."""
    tokenizer = Tokenizer.from_str(_byte_level())
    return _with_special(tokenizer, special, bos=bos, eos=eos, adds_bos=adds_bos)


def sentencepiece(
    special: Sequence[str],
    *,
    bos: str | None,
    eos: str,
    prefix: str = "always",
    strips_after: Sequence[str] = (),
) -> PreTrainedTokenizerFast:
    """Like Llama 2's, Mistral's and Phi-3's. A space goes before all that follows a special token
    (`prefix` "always"), before the text alone ("first"), or nowhere ("never", as Gemma's).

    Blanks after a token of `strips_after` are lost, as Phi-3 has it.
    """
    tokenizer = Tokenizer.from_str(_sentencepiece())
    if prefix == "always":
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    elif prefix == "never":
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    return _with_special(tokenizer, special, bos=bos, eos=eos, strips_after=strips_after)


def _with_special(
    tokenizer: Tokenizer,
    special: Sequence[str],
    *,
    bos: str | None,
    eos: str,
    adds_bos: bool = False,
    strips_after: Sequence[str] = (),
) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(
        [AddedToken(each, normalized=False, rstrip=each in strips_after) for each in special]
    )
    if adds_bos:
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


@cache
def _byte_level() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((*TEXT, "\n\n", "\n\n"), trainer)
    return tokenizer.to_str()


@cache
def _sentencepiece() -> str:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = BpeTrainer(
        vocab_size=520, special_tokens=["<unk>", *bytes_], show_progress=False, max_token_length=12
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer.to_str()
