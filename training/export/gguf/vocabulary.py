"""A tokenizer's tokens as llama.cpp wants them: bytes by merges, or SentencePiece by scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gguf import GGUFWriter, TokenType
from transformers import PreTrainedTokenizerBase

from training.export.gguf.errors import NotInGguf
from training.export.gguf.splitting import pre_tokenizer
from training.export.gguf.texts import content_of, is_sentencepiece, treatment

__all__ = ["NAMED_PHI3", "Vocabulary", "vocabulary", "write_vocabulary"]

NAMED_PHI3: Final = "Phi-3"
"""A file of this name has its special tokens take the blanks behind them. llama.cpp has no other
word for it."""

_NEVER_STRIP: Final = frozenset({"<unk>", "<s>", "<|endoftext|>"})
"""But for these."""

_UNLIKELY: Final = -1000.0
"""The score of what is never merged to: added tokens."""


class Vocabulary(NamedTuple):
    """What a GGUF file says of its tokens; `merges` of byte-level ones, `scores` of SentencePiece."""

    tokens: list[str]
    types: list[TokenType]
    pre: str
    merges: list[str] | None
    scores: list[float] | None
    adds_blank: bool
    strips_right: bool
    """Whether special tokens take the blanks behind them, as Phi-3's do."""


def vocabulary(tokenizer: PreTrainedTokenizerBase, *, rows: int) -> Vocabulary:
    """The tokens of a tokenizer, for an embedding of so many rows.

    Raises `NotInGguf` where llama.cpp would make other tokens of a text, or where the
    embeddings were not resized for tokens that were added.
    """
    content = content_of(tokenizer)
    model = content["model"]
    if model["type"] != "BPE":
        raise NotInGguf(f"its tokenizer is of the kind {model['type']}, and not BPE")
    adds_blank = treatment(tokenizer).adds_blank
    tokens, types = _tokens(content, rows)
    strips_right = _strips_right(content["added_tokens"])
    if is_sentencepiece(content):
        scores = _scores(content, tokens, types)
        return Vocabulary(tokens, types, "default", None, scores, adds_blank, strips_right)
    pre, merges = pre_tokenizer(content), [" ".join(pair) for pair in _merges(model)]
    return Vocabulary(tokens, types, pre, merges, None, adds_blank, strips_right)


def write_vocabulary(found: Vocabulary, writer: GGUFWriter) -> None:
    """The tokens, their types, and how texts become them."""
    writer.add_tokenizer_model("gpt2" if found.scores is None else "llama")
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    if found.scores is not None:
        writer.add_token_scores(found.scores)
    if found.merges is not None:
        writer.add_token_merges(found.merges)
    writer.add_add_space_prefix(found.adds_blank)


def _tokens(content: Mapping[str, Any], rows: int) -> tuple[list[str], list[TokenType]]:
    """A token for each row of the embedding; rows that no token has get a name of their own."""
    model = content["model"]
    named: dict[int, tuple[str, TokenType]] = {
        place: (text, TokenType.NORMAL) for text, place in model["vocab"].items()
    }
    if is_sentencepiece(content):
        for value in range(256):
            place = model["vocab"].get(f"<0x{value:02X}>")
            if place is None:
                raise NotInGguf(f"its tokenizer has no token for the byte {value}")
            named[place] = (named[place][0], TokenType.BYTE)
    for added in content["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        named[added["id"]] = (added["content"], kind)
    unknown = model["vocab"].get(model.get("unk_token"))
    if unknown is not None and is_sentencepiece(content):
        named[unknown] = (named[unknown][0], TokenType.UNKNOWN)
    largest = max(named)
    if largest >= rows:
        raise NotInGguf(
            f"its token {named[largest][0]!r} has the id {largest}, but the embedding has {rows} "
            "rows: it was not resized for tokens that were added"
        )
    taken = {text for text, _ in named.values()}
    filled = [named.get(place, (_free(place, taken), TokenType.UNUSED)) for place in range(rows)]
    return [text for text, _ in filled], [kind for _, kind in filled]


def _free(place: int, taken: set[str]) -> str:
    """A name for a row without a token; llama.cpp ends itself over a name that is there twice."""
    name = f"[PAD{place}]"
    while name in taken:
        name = f"[{name}]"
    return name


def _strips_right(added: Sequence[Mapping[str, Any]]) -> bool:
    stripping = [each["content"] for each in added if each["rstrip"]]
    other = [each["content"] for each in added if each["lstrip"] or each["single_word"]]
    special = {each["content"] for each in added if each["special"] and not each["lstrip"]}
    known = {each["content"] for each in added} >= _NEVER_STRIP and "</s>" in stripping
    if stripping and not (known and set(stripping) | _NEVER_STRIP >= special):
        other += stripping
    if other:
        raise NotInGguf(
            f"its token {other[0]!r} takes blanks or word borders beside it, which GGUF cannot say"
        )
    return bool(stripping)


def _merges(model: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for pair in model["merges"]:
        yield pair.split(" ") if isinstance(pair, str) else pair


def _scores(
    content: Mapping[str, Any], tokens: Sequence[str], types: Sequence[TokenType]
) -> list[float]:
    """The earlier a token is merged to, the higher; llama.cpp merges what scores highest."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(_merges(content["model"])):
        ranks.setdefault("".join(pair), rank)
    worst = len(ranks)
    return [
        -float(ranks.get(text, worst)) if kind is TokenType.NORMAL else _score(kind)
        for text, kind in zip(tokens, types, strict=True)
    ]


def _score(kind: TokenType) -> float:
    return 0.0 if kind in (TokenType.BYTE, TokenType.UNKNOWN) else _UNLIKELY
