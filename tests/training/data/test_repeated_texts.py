"""Texts of which much is known get the tokens that they get at once."""

from pathlib import Path

import pytest
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase

from training.data import remembered_texts, repeated_texts
from training.data.encoding import ids_of
from training.data.repeated_texts import RepeatedTexts
from training.models.tokenizers import load_tokenizer

TEXTS = [
    "",
    "<|im_end|>",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "hi<|im_end|><|im_end|>\n\n",
    " <|im_start|> <|im_start|>  ",
    "<|im_<|im_end|>start|><|im_start",
    "東京 naïve 🙂🏽 שלום \u0301e <|im_end|",
    "line\r\n\tand tab " * 300,
]


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def called(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return found


def test_texts_get_the_tokens_of_a_call(tokenizer: PreTrainedTokenizerBase) -> None:
    repeated = RepeatedTexts(tokenizer)
    expected = called(tokenizer, TEXTS)
    assert repeated.ids_of_each(TEXTS) == expected
    assert repeated.ids_of_each(TEXTS) == expected  # all of it known
    assert repeated.ids_of_each(TEXTS[::-1]) == expected[::-1]


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the tokenizer is given from now on."""
    given: list[str] = []

    def ids_of_noted(of: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
        given.extend(texts)
        return ids_of(of, texts)

    monkeypatch.setattr(repeated_texts, "ids_of", ids_of_noted)
    return given


def test_a_known_stretch_is_not_tokenised_again(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = noted(monkeypatch)
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(use_regex=False, add_prefix_space=False)
    repeated = RepeatedTexts(tokenizer)
    repeated.ids_of_each(["<|im_start|>system\nBe brief.<|im_end|>"])
    repeated.ids_of_each(["<|im_start|>system\nBe brief.<|im_end|><|im_start|>user"])
    assert given == ["system\nBe brief.", "user"]


def test_a_known_word_is_not_tokenised_again(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = noted(monkeypatch)
    repeated = RepeatedTexts(tokenizer)
    repeated.ids_of_each(["so so brief<|im_end|>"])
    repeated.ids_of_each(["so brief so brief", "<|im_end|>be brief"])
    separator = next(iter(repeated._added))
    assert [sorted(each.split(separator)) for each in given] == [[" brief", " so", "so"], ["be"]]


def test_what_is_forgotten_is_tokenised_anew(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_texts, "_CHARACTERS", 12)
    repeated = RepeatedTexts(tokenizer)
    for text in ["one two", "three four", "five six", "one two", "far longer than that", "five"]:
        assert repeated.ids_of_each([text]) == called(tokenizer, [text])


def test_of_much_at_once_nothing_is_remembered(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated_texts, "_AT_ONCE", 11)
    given = noted(monkeypatch)
    repeated = RepeatedTexts(tokenizer)
    texts = ["one two", "three"]
    for _ in range(2):
        assert repeated.ids_of_each(texts) == called(tokenizer, texts)
    assert given == texts * 2


def test_stretches_that_end_with_the_half_of_a_token_are_told_apart(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    cuts = next(iter(RepeatedTexts(tokenizer)._added))
    tokenizer.add_tokens([AddedToken(f"ab{cuts}", normalized=False)])
    texts = ["one ab", "two", f"three ab{cuts}", f"four{cuts}"]
    assert RepeatedTexts(tokenizer).ids_of_each(texts) == called(tokenizer, texts)


@pytest.mark.parametrize("habit", ["lstrip", "rstrip", "single_word"])
def test_a_token_that_minds_what_is_around_it_forbids_cutting(
    tokenizer: PreTrainedTokenizerBase, habit: str
) -> None:
    tokenizer.add_tokens([AddedToken("<odd>", normalized=False, **{habit: True})])
    texts = [*TEXTS, "a <odd> b", "a<odd>b", " <odd>\n<|im_end|> <odd>"]
    assert RepeatedTexts(tokenizer).ids_of_each(texts) == called(tokenizer, texts)


def test_lengths_and_padding_of_another_call_are_not_kept(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    expected = called(tokenizer, TEXTS)
    repeated = RepeatedTexts(tokenizer)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=3)
    assert repeated.ids_of_each(TEXTS) == expected


def test_special_tokens_that_are_to_be_read_as_text_are(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.split_special_tokens = True
    assert RepeatedTexts(tokenizer).ids_of_each(TEXTS) == called(tokenizer, TEXTS)
