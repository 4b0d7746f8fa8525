"""A text that is cut between its words is cut further as if it were whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import NFC, NFKC, Normalizer, Prepend
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence, Split
from transformers import PreTrainedTokenizerFast
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN_2
from transformers.models.qwen3_5.tokenization_qwen3_5 import PRETOKENIZE_REGEX as QWEN_3_5

from tests.training.chat_tokenizers import byte_level
from training.data.word_borders import has_word_borders, words

LLAMA_3 = GGUF_PRE_TOKENIZER_SPLITS["llama3"]
BYTES = ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern: str, behavior: str = "isolated", *, inverted: bool = False) -> PreTokenizer:
    return Split(Regex(pattern), behavior, inverted)


KNOWN = {
    "GPT-2": ByteLevel(add_prefix_space=False),
    "SmolLM2": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]),
    "Llama 3": Sequence([split(LLAMA_3, "removed", inverted=True), BYTES]),
    "Qwen 2": Sequence([split(QWEN_2), BYTES]),
    "Qwen 3.5": Sequence([split(QWEN_3_5), BYTES]),
    "gpt-oss": Sequence([split(GGUF_PRE_TOKENIZER_SPLITS["gpt-4o"]), BYTES]),
    "Mistral Nemo": Sequence([split(GGUF_PRE_TOKENIZER_SPLITS["tekken"]), BYTES]),
}
OTHER = {
    "none": None,
    "a space before every text": ByteLevel(add_prefix_space=True),
    "no pattern": BYTES,
    "an unknown pattern": Sequence([split(r"\s+|\w+|."), BYTES]),
    "blanks thrown away": Sequence([split(LLAMA_3, "removed"), BYTES]),
    "words joined": Sequence([split(LLAMA_3, "contiguous"), BYTES]),
    "blanks alone": pre_tokenizers.Whitespace(),
    "SentencePiece": pre_tokenizers.Metaspace(),
}

BLANKS = [" ", "  ", "\n", "\r\n", "\t", "\xa0", "\u3000", "\x1c", "\u180e", "\u200b"]
LETTERS = ["a", "Bc", "e\u0301", "\u0301", "東京", "İ", "ǅ", "'s", "'LL"]
OTHERS = ["7", "12", "٣", ".", ".\n", "/", "🙂🏽"]

odd = st.sampled_from([*BLANKS, *LETTERS, *OTHERS])
texts = st.lists(odd, max_size=12).map("".join) | st.text(max_size=20)


def made(cutting: PreTokenizer | None, normaliser: Normalizer | None) -> PreTrainedTokenizerFast:
    tokenizer = byte_level(["<|end|>"], bos=None, eos="<|end|>")
    tokenizer.backend_tokenizer.pre_tokenizer = cutting
    tokenizer.backend_tokenizer.normalizer = normaliser
    return tokenizer


@pytest.mark.parametrize("name", KNOWN)
@settings(deadline=None)  # the first example reads all of Unicode
@given(normaliser=st.sampled_from([None, NFC()]), text=texts)
def test_words_are_cut_as_the_whole_text_is(
    name: str, normaliser: Normalizer | None, text: str
) -> None:
    def cut(part: str) -> list[str]:
        shown = part if normaliser is None else normaliser.normalize_str(part)
        return [each for each, _ in KNOWN[name].pre_tokenize_str(shown)]

    assert "".join(words(text)) == text
    assert [each for word in words(text) for each in cut(word)] == cut(text)


def test_words_keep_the_space_before_them_and_all_other_blanks() -> None:
    assert words("a b  c\n d e \t") == ["a", " b  c\n d", " e \t"]


@pytest.mark.parametrize("normaliser", [None, NFC()], ids=["as it is", "NFC"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_ways_to_cut_have_word_borders(name: str, normaliser: Normalizer | None) -> None:
    assert has_word_borders(made(KNOWN[name], normaliser))


@pytest.mark.parametrize("name", OTHER)
def test_other_ways_to_cut_are_not_trusted(name: str) -> None:
    assert not has_word_borders(made(OTHER[name], None))


@pytest.mark.parametrize("normaliser", [NFKC(), Prepend("▁"), normalizers.Lowercase()], ids=repr)
def test_other_normalisers_are_not_trusted(normaliser: Normalizer) -> None:
    assert not has_word_borders(made(KNOWN["GPT-2"], normaliser))


@pytest.mark.parametrize(
    ("token", "trusted"),
    [
        (AddedToken("<odd>", normalized=True), True),
        (AddedToken("two words", normalized=True), False),
        (AddedToken("<odd>", normalized=True, lstrip=True), False),
        (AddedToken("two words", normalized=False), True),
    ],
    ids=["within a word", "over words", "with blanks", "before words are looked for"],
)
def test_added_tokens_that_reach_over_words_are_not_trusted(
    token: AddedToken, trusted: bool
) -> None:
    tokenizer = made(KNOWN["GPT-2"], None)
    tokenizer.add_tokens([token])
    assert has_word_borders(tokenizer) is trusted
