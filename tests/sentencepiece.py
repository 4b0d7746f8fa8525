"""A tokenizer in the manner of SentencePiece, as converted ones are stored: merges, and bytes for
what no token has."""

import json
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

Blanks: TypeAlias = Literal["always", "first", "never"]

_SPACE: Final = "\u2581"
_SPECIAL: Final = ("<unk>", "<s>", "</s>")
_TEXT: Final = (
    "The capital of France is Paris. The capital of Italy is Rome. What is the capital of Spain?",
    "user assistant system Hello, please be brief and say yes or no to what I ask you.",
    "def add(first, second):\n    return first + second\n",
)

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '[' + message['role'] + '] ' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"
)


def make_sentencepiece(folder: Path, blanks: Blanks, *, strips: bool = False) -> int:
    """Write the tokenizer's files; the number of its tokens.

    `blanks` says where one is added: always before a text and behind a special token, as Phi-3 does,
    before a text alone, as Llama 2 does, or never, as in Gemma. `strips` lets a special token take
    the blanks behind it, as Phi-3's do.
    """
    tokenizer = Tokenizer.from_str(json.dumps(_content(blanks)))
    tokenizer.add_special_tokens(
        [AddedToken(each, special=True, normalized=False) for each in _SPECIAL]
    )
    if strips:
        tokenizer.add_special_tokens(
            [
                AddedToken("</s>", rstrip=True, normalized=False),
                AddedToken("<|endoftext|>", normalized=False),
                AddedToken("<|end|>", rstrip=True, normalized=False),
            ]
        )
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)


def _content(blanks: Blanks) -> dict[str, Any]:
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", _SPACE)
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=[], show_progress=False)
    trained.train_from_iterator([_SPACE + text for text in _TEXT], trainer)
    content: dict[str, Any] = json.loads(trained.to_str())
    first = [*_SPECIAL, *(f"<0x{value:02X}>" for value in range(256))]
    learned = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    content["model"] |= {
        "vocab": {token: place for place, token in enumerate((*first, *learned))},
        "unk_token": "<unk>",
        "fuse_unk": True,
        "byte_fallback": True,
    }
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    prepends = {"type": "Prepend", "prepend": _SPACE}
    match blanks:
        case "always":
            content["normalizer"] = {"type": "Sequence", "normalizers": [prepends, replaces]}
        case "never":
            content["normalizer"] = replaces
        case "first":
            metaspace = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
            trained.pre_tokenizer = metaspace
            content["normalizer"] = None
    decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback()])
    trained.decoder = decoder
    stored = json.loads(trained.to_str())
    return content | {part: stored[part] for part in ("pre_tokenizer", "decoder")}
