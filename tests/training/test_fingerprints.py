"""A fingerprint changes with whatever changes a record's tokens, and with nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from tests.training.chat_tokenizers import byte_level
from training.config import DataType, TrainOn
from training.data import fingerprints
from training.data.rendering import Renderer
from training.templates.applying import use_template


def make(
    *, special: tuple[str, ...] = ("<|im_start|>", "<|im_end|>"), **changes: object
) -> Renderer:
    tokenizer = byte_level(special, bos=None, eos="<|im_end|>")
    use_template(tokenizer, "CHATML")
    return replace(Renderer(tokenizer, DataType.QA, frozenset({1}), max_length=512), **changes)  # type: ignore[arg-type]


def test_the_same_choices_give_the_same_digest() -> None:
    first, second = make(), make()
    assert first.tokenizer is not second.tokenizer
    assert first.fingerprint == second.fingerprint
    assert len(bytes.fromhex(first.fingerprint)) == 32


def test_the_longest_length_is_no_part_of_it() -> None:
    assert make(max_length=7).fingerprint == make().fingerprint


def other_text(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ messages }}"


def added_token(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.add_tokens([AddedToken("weather")])


def other_bos(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.bos_token = "<|im_start|>"


@pytest.mark.parametrize("change", [other_text, added_token, other_bos])
def test_each_part_of_the_tokenizer_counts(
    change: Callable[[PreTrainedTokenizerFast], None],
) -> None:
    renderer = make()
    assert isinstance(renderer.tokenizer, PreTrainedTokenizerFast)
    change(renderer.tokenizer)
    assert renderer.fingerprint != make().fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"data_type": DataType.CHAT},
        {"stop_token_ids": frozenset({1, 2})},
        {"train_on": TrainOn.ALL},
        {"train_on": TrainOn.LAST_ASSISTANT},
    ],
)
def test_each_choice_counts(changed: dict[str, object]) -> None:
    assert make(**changed).fingerprint != make().fingerprint


def test_the_version_of_the_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make().fingerprint
    monkeypatch.setattr(fingerprints, "RENDERING_VERSION", fingerprints.RENDERING_VERSION + 1)
    assert make().fingerprint != before


def test_the_day_counts_where_a_template_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(template: str) -> str:
        renderer = make()
        renderer.tokenizer.chat_template = template
        return renderer.fingerprint

    dated, undated = "{{ strftime_now('%d %b') }}", "{{ messages }}"
    before = of(dated), of(undated)
    monkeypatch.setattr(fingerprints, "_today", lambda: "2000-01-01")
    assert (of(dated) == before[0], of(undated) == before[1]) == (False, True)
