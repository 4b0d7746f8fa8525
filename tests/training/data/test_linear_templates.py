"""Turns found in one pass are those found by rendering every beginning, or are not found so."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from training.data.linear_templates import turns_in_one_pass

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
ANSWER = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
SAY = "{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"

LINEAR = {
    "ChatML with a first system message": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "lines and blanks": (
        "{{ bos_token }}\n"
        "{% for message in messages %}\n"
        "    {% if message['role'] == 'tool' %}\n"
        "        {% continue %}\n"
        "    {% endif %}\n"
        "    {{- '<|' ~ message.role ~ '|>' }}\n"
        "{{ message.content | trim }}{{ eos_token }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}\n"
        "{{- '<|assistant|>' }}\n"
        "{% endif %}"
    ),
    "blanks taken away": (
        "{%- for message in messages -%}\n  <{{ message.role }}>\n  {{ message.content }}</s>\n"
        "{%- endfor -%}\n{%- if add_generation_prompt -%}<assistant>\n  {% endif -%}"
    ),
    "counting": (
        "{% set count = namespace(value=0) %}{% if tools %}{{ tools | tojson }}{% endif %}"
        "{% for message in messages %}{% set count.value = count.value + 1 %}"
        + SAY
        + "[{{ count.value }}/{{ loop.index }}]{% endfor %}"
        + ANSWER
    ),
}
OTHER = {
    "the last is told": "{% for message in messages %}{% if loop.last %}!{% endif %}" + SAY,
    "the next is looked at": "{% for message in messages %}{{ loop.nextitem is defined }}" + SAY,
    "all are counted": "{% for message in messages %}{{ messages | length }}" + SAY,
    "any is looked at": "{% for message in messages %}{{ messages[loop.index0].role }}" + SAY,
    "an answer is awaited": "{% for message in messages %}{{ add_generation_prompt }}" + SAY,
}
ENDS = {
    "something follows": "{% for message in messages %}" + SAY + "{% endfor %}<end>" + ANSWER,
    "the prompt depends on what was said": (
        "{% set last = namespace(role='') %}{% for message in messages %}"
        "{% set last.role = message.role %}" + SAY + "{% endfor %}"
        "{% if add_generation_prompt %}{{ last.role }}{% endif %}"
    ),
    "some are left out": (
        "{% set messages = messages[1:] %}{% for message in messages %}"
        + SAY
        + "{% endfor %}"
        + ANSWER
    ),
    "twice": ("{% for message in messages %}" + SAY + "{% endfor %}") * 2 + ANSWER,
    "broken": "{% for message in messages %}" + SAY,
}

said = st.text(max_size=12) | st.sampled_from(["\n", "<|im_end|>\n", " a ", "{{ x }}", "</s>"])


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": draw(said)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        messages.append({"role": "user", "content": draw(said)})
        if draw(st.booleans()):
            messages.append({"role": "tool", "content": draw(said)})
        messages.append({"role": "assistant", "content": draw(said)})
    return messages


def rendered(template: str, messages: list[dict[str, str]], tools: Any, asks: bool) -> str:
    texts: Any = render_jinja_template(
        conversations=[messages],
        tools=tools,
        chat_template=template,
        add_generation_prompt=asks,
        **TOKENS,
    )
    return str(texts[0][0])


@pytest.mark.parametrize("name", LINEAR)
@settings(deadline=None)  # the first example compiles the template
@given(messages=conversations(), tools=st.sampled_from([None, [{"name": "stock"}]]))
def test_turns_in_one_pass_are_those_of_all_beginnings(
    name: str, messages: list[dict[str, str]], tools: Any
) -> None:
    template = LINEAR[name]
    found = turns_in_one_pass(template, messages, tools=tools, special_tokens=TOKENS)
    assert found is not None
    assert found.text == rendered(template, messages, tools, asks=False)
    turns = [index for index, each in enumerate(messages) if each["role"] == "assistant"]
    for index, (start, end) in zip(turns, found.spans, strict=True):
        assert found.text[:start] == rendered(template, messages[:index], tools, asks=True)
        assert found.text[:end] == rendered(template, messages[: index + 1], tools, asks=False)


@pytest.mark.parametrize("name", [*OTHER, *ENDS])
def test_a_template_that_looks_ahead_is_not_rendered_in_one_pass(name: str) -> None:
    template = OTHER[name] + "{% endfor %}" + ANSWER if name in OTHER else ENDS[name]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert turns_in_one_pass(template, messages, tools=None, special_tokens=TOKENS) is None


@pytest.mark.parametrize(
    ("content", "role"), [("a\ue000b", "user"), ("a", "ipython")], ids=["mark", "prompt"]
)
def test_a_conversation_that_is_not_told_apart_is_left_to_the_exact_way(
    content: str, role: str
) -> None:
    template = "{% for message in messages %}" + SAY + "{% endfor %}" + ANSWER
    messages = [{"role": role, "content": content}, {"role": "assistant", "content": "b"}]
    if role == "ipython":  # whose answers do not begin as the prompt does
        template = template.replace("'<|' + message['role'] + '|>'", "message.content")
    assert turns_in_one_pass(template, messages, tools=None, special_tokens=TOKENS) is None
