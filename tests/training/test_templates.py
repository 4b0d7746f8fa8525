"""Templates by name and as text: what they render, what they need, and how they are refused."""

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from tests.training.chat_tokenizers import byte_level, sentencepiece
from training.config import DataType
from training.data.chat import pieces
from training.data.choosing import settle_template
from training.data.rendering import IGNORED, Renderer
from training.templates.applying import supported, use_template
from training.templates.errors import EndOfTurnSplit, TemplateFailed, TemplateUnusable
from training.templates.named import NamedTemplate, named, text_of
from training.templates.parsing import MAX_CHARACTERS, check_syntax

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]
TOOLS: list[object] = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
CALLED = [
    {"role": "user", "content": "Sky?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "blue"},
    {"role": "assistant", "content": "Blue."},
]

CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA_3 = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def tokenizer_for(template: NamedTemplate) -> PreTrainedTokenizerFast:
    match template:
        case NamedTemplate.CHATML:
            return byte_level(CHATML, bos=None, eos="<|endoftext|>")
        case NamedTemplate.LLAMA_3:
            return byte_level(LLAMA_3, bos="<|begin_of_text|>", eos="<|eot_id|>", adds_bos=True)
        case NamedTemplate.GEMMA:
            special = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
            return sentencepiece(special, bos="<bos>", eos="<eos>", prefix="never")
        case _:
            return sentencepiece(["<s>", "</s>"], bos="<s>", eos="</s>", prefix="first")


RENDERED = {
    NamedTemplate.CHATML: (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello there<|im_end|>\n"
        "<|im_start|>assistant\n⟦Hi<|im_end|>⟧\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n⟦See you<|im_end|>⟧\n"
    ),
    NamedTemplate.LLAMA_3: (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello there<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hi<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦See you<|eot_id|>⟧"
    ),
    NamedTemplate.GEMMA: (
        "<bos><start_of_turn>user\nBe brief.\n\nHello there<end_of_turn>\n"
        "<start_of_turn>model\n⟦Hi<end_of_turn>⟧\n<start_of_turn>user\nBye<end_of_turn>\n"
        "<start_of_turn>model\n⟦See you<end_of_turn>⟧\n"
    ),
    NamedTemplate.MISTRAL: (
        "<s>[INST] Be brief.\n\nHello there [/INST]⟦ Hi</s>⟧[INST] Bye [/INST]⟦ See you</s>⟧"
    ),
    NamedTemplate.ZEPHYR: (
        "<|system|>\nBe brief.</s>\n<|user|>\nHello there</s>\n<|assistant|>\n⟦Hi</s>⟧\n"
        "<|user|>\nBye</s>\n<|assistant|>\n⟦See you</s>⟧\n"
    ),
    NamedTemplate.ALPACA: (
        "<s>Be brief.\n\n### Instruction:\nHello there\n\n### Response:\n⟦Hi</s>⟧\n\n"
        "### Instruction:\nBye\n\n### Response:\n⟦See you</s>⟧\n\n"
    ),
}
"""What is trained stands between ⟦ and ⟧."""


@pytest.mark.parametrize("template", NamedTemplate)
def test_a_named_template_renders_as_it_is_known(template: NamedTemplate) -> None:
    tokenizer = tokenizer_for(template)
    use_template(tokenizer, template)
    cut = pieces(tokenizer, [SYSTEM, *TURNS], line=1)
    assert "".join(f"⟦{p.text}⟧" if p.trained else p.text for p in cut) == RENDERED[template]


@pytest.mark.parametrize("template", NamedTemplate)
def test_a_named_template_trains_what_transformers_marks(template: NamedTemplate) -> None:
    tokenizer = tokenizer_for(template)
    stops = settle_template(tokenizer, template, frozenset({tokenizer.eos_token_id}))
    found = tokenizer.apply_chat_template(
        TURNS, return_dict=True, return_assistant_tokens_mask=True
    )
    renderer = Renderer(tokenizer, DataType.CHAT, stop_token_ids=stops, max_length=512)
    row = renderer.row(1, {"messages": TURNS})
    mask = found["assistant_masks"]
    assert row.input_ids == found["input_ids"]
    assert row.labels == [
        token if said else IGNORED for token, said in zip(row.input_ids, mask, strict=True)
    ]
    asked = tokenizer.apply_chat_template(TURNS[:1], tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(asked, add_special_tokens=False)["input_ids"]
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels[len(prompt)] != IGNORED


@pytest.mark.parametrize("template", [NamedTemplate.CHATML, NamedTemplate.LLAMA_3])
def test_two_named_templates_take_tools(template: NamedTemplate) -> None:
    tokenizer = tokenizer_for(template)
    use_template(tokenizer, template)
    cut = pieces(tokenizer, [SYSTEM, *CALLED], line=1, tools=TOOLS)
    said = [piece.text for piece in cut if piece.trained]
    end = tokenizer.decode(sorted(settle_template(tokenizer, template, frozenset())))
    name, given = (
        ("name", "arguments") if template is NamedTemplate.CHATML else ("name", "parameters")
    )
    called = f'{{"{name}": "look", "{given}": {{"at": "sky"}}}}'
    if template is NamedTemplate.CHATML:
        called = f"<tool_call>\n{called}\n</tool_call>"
    assert said == [called + end, "Blue." + end]
    assert cut[0].text.count("Be brief.") == 1
    assert '{"type": "function", "function": {"name": "look", "parameters": {}}}' in cut[0].text
    assert "blue" in cut[2].text


@pytest.mark.parametrize("messages", [TURNS, CALLED], ids=["tools", "calls"])
@pytest.mark.parametrize(
    "template",
    [NamedTemplate.GEMMA, NamedTemplate.MISTRAL, NamedTemplate.ZEPHYR, NamedTemplate.ALPACA],
)
def test_the_others_refuse_what_they_would_leave_out(
    template: NamedTemplate, messages: list[Any]
) -> None:
    tokenizer = tokenizer_for(template)
    use_template(tokenizer, template)
    tools = TOOLS if messages is TURNS else None
    with pytest.raises(TemplateFailed, match=f"{template} has no place for tools"):
        pieces(tokenizer, messages, line=3, tools=tools)


def test_a_tokenizer_supports_those_whose_end_of_turn_is_one_token() -> None:
    plain = [NamedTemplate.MISTRAL, NamedTemplate.ZEPHYR, NamedTemplate.ALPACA]
    for template, own in (
        (NamedTemplate.CHATML, 1),
        (NamedTemplate.GEMMA, 1),
        (NamedTemplate.ZEPHYR, 0),
    ):
        found = supported(tokenizer_for(template))
        assert list(found) == ([template] if own else []) + plain
    assert (
        supported(
            PreTrainedTokenizerFast(
                tokenizer_object=byte_level([], bos=None, eos="</s>")._tokenizer
            )
        )
        == ()
    )


def test_an_end_of_turn_that_would_be_split_is_refused_by_name() -> None:
    tokenizer = tokenizer_for(NamedTemplate.ZEPHYR)
    assert len(tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"]) > 1
    with pytest.raises(
        EndOfTurnSplit, match=r"CHATML ends a turn with '<\|im_end\|>', which is not"
    ):
        use_template(tokenizer, "CHATML")
    assert tokenizer.chat_template is None


def test_the_token_that_ends_a_turn_becomes_a_stop_token() -> None:
    tokenizer = tokenizer_for(NamedTemplate.CHATML)
    end, own = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert settle_template(tokenizer, "CHATML", frozenset({own})) == {own, end}
    assert tokenizer.chat_template == text_of(NamedTemplate.CHATML)
    assert settle_template(tokenizer, None, frozenset({own})) == {own, end}  # as a base model's own
    assert settle_template(tokenizer, None, frozenset({end})) == {end}
    tokenizer.chat_template = None
    assert settle_template(tokenizer, None, frozenset({own})) == {own}


def test_a_model_whose_own_template_takes_no_plain_question_keeps_its_stop_tokens() -> None:
    tokenizer = tokenizer_for(NamedTemplate.CHATML)
    tokenizer.chat_template = "{{ raise_exception('not without a picture') }}"
    assert settle_template(tokenizer, None, frozenset({7})) == {7}
    with pytest.raises(
        TemplateFailed, match="a question with its answer: line 1 of the template: not"
    ):
        settle_template(tokenizer, "{{ raise_exception('not without a picture') }}", frozenset({7}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n{% for m in messages %}", "line 2 of the template: Unexpected end of template"),
        (
            "a\n\n{{ messages | nosuchfilter }}",
            "line 3 of the template: there is no 'nosuchfilter'",
        ),
        ("{{ }}", "line 1 of the template: Expected an expression"),
        ("{% generation %}x", "line 1 of the template: Unexpected end"),
        ("a\n{{ 10 ** 10 ** 10 }}", "line 2 of the template: powers are not computed"),
        ("x" * (MAX_CHARACTERS + 1), "it has 65537 characters, and may have at most 65536"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "it is nested too deep"),
        ("{{ messages }}\0", "it has a NUL character"),
    ],
)
def test_a_text_that_is_no_template_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(TemplateUnusable, match=reason) as refused:
        check_syntax(text)
    assert refused.value.code == "CHAT_TEMPLATE_UNUSABLE"


@pytest.mark.parametrize("template", NamedTemplate)
def test_our_own_templates_are_ones(template: NamedTemplate) -> None:
    check_syntax(text_of(template))
    assert named(template.value) is template
    assert named(text_of(template)) is None


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro again() %}{% for i in range(99999) %}{{ again() }}{% endfor %}{% endmacro %}{{ again() }}",
        "{{ 'a' * 99999999999999 }}",
        "{{ messages[9].content }}",
        "{% for i in range(999999) %}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{% include 'other' %}",
    ],
    ids=["loops", "recurs", "grows", "misses", "range", "escapes", "includes"],
)
def test_a_template_that_cannot_be_rendered_is_an_error_of_its_own(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.choosing.TRIAL_SECONDS", 0.2)
    tokenizer = tokenizer_for(NamedTemplate.CHATML)
    with pytest.raises((TemplateUnusable, TemplateFailed)) as refused:
        settle_template(tokenizer, text, frozenset())
    assert refused.value.remedy is not None
