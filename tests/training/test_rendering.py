"""Which tokens bear loss, token for token."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from training.config import DataType, TrainOn
from training.data.records import Record
from training.data.rendering import IGNORED, Renderer, Row
from training.errors import NoChatTemplate, StopTokenNotTrained, TemplateNotPrefixStable
from training.models.tokenizers import load_tokenizer

QA = {"question": "What is the sky?", "answer": "Blue."}
CHAT: Record = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "\nHello"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you"},
    ]
}

WITH_DEFAULT_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>\n' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORGETFUL = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ '...' }}"
    "{% else %}{{ message['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDLESS = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def row_of(tokenizer: PreTrainedTokenizerBase, data_type: DataType, record: Record) -> Row:
    stops = frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")})
    return Renderer(tokenizer, data_type, stop_token_ids=stops, max_length=512).row(1, record)


def trained_runs(tokenizer: PreTrainedTokenizerBase, row: Row) -> list[str]:
    """The text of each unbroken run of tokens that bear loss."""
    runs: list[list[int]] = [[]]
    for token, label in zip(row.input_ids, row.labels, strict=True):
        if label == IGNORED:
            runs.append([])
        else:
            assert label == token
            runs[-1].append(token)
    return [tokenizer.decode(run) for run in runs if run]


def test_only_the_answer_and_its_stop_token_bear_loss(tokenizer: PreTrainedTokenizerBase) -> None:
    row = row_of(tokenizer, DataType.QA, QA)
    prompt = tokenizer(
        "<|im_start|>user\nWhat is the sky?<|im_end|>\n<|im_start|>assistant\n",
        add_special_tokens=False,
    )["input_ids"]
    answer = tokenizer("Blue.<|im_end|>", add_special_tokens=False)["input_ids"]
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert row.input_ids == prompt + answer + newline
    assert row.labels == [IGNORED] * len(prompt) + answer + [IGNORED] * len(newline)


def test_every_assistant_turn_bears_loss(tokenizer: PreTrainedTokenizerBase) -> None:
    row = row_of(tokenizer, DataType.CHAT, CHAT)
    assert trained_runs(tokenizer, row) == ["\nHello<|im_end|>", "See you<|im_end|>"]
    text = tokenizer.apply_chat_template(CHAT["messages"], tokenize=False)
    assert tokenizer.decode(row.input_ids) == text


def test_the_prompt_is_a_token_prefix_of_the_row(tokenizer: PreTrainedTokenizerBase) -> None:
    record: Record = {"question": "Say it", "answer": "\n\n  indented"}
    row = row_of(tokenizer, DataType.QA, record)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say it"}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert row.labels[len(prompt)] != IGNORED


@pytest.mark.parametrize("template", [WITH_DEFAULT_SYSTEM, MARKED])
def test_other_templates_train_the_same_tokens(
    tokenizer: PreTrainedTokenizerBase, template: str
) -> None:
    tokenizer.chat_template = template
    row = row_of(tokenizer, DataType.CHAT, CHAT)
    assert trained_runs(tokenizer, row) == ["\nHello<|im_end|>", "See you<|im_end|>"]
    assert trained_runs(tokenizer, row_of(tokenizer, DataType.QA, QA)) == ["Blue.<|im_end|>"]


WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] }}{% for call in message.tool_calls or [] %}"
    "{{ call.function.name + call.function.arguments | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize("template", [None, WITH_DEFAULT_SYSTEM, MARKED])
def test_a_turn_of_weight_0_is_rendered_and_bears_no_loss(
    tokenizer: PreTrainedTokenizerBase, template: str | None
) -> None:
    tokenizer.chat_template = template or tokenizer.chat_template
    messages = [dict(message) for message in CHAT["messages"]]  # type: ignore[attr-defined]
    weighted: Record = {"messages": [*messages[:2], messages[2] | {"weight": 0}, *messages[3:]]}
    plain, found = (row_of(tokenizer, DataType.CHAT, record) for record in (CHAT, weighted))
    assert found.input_ids == plain.input_ids
    assert trained_runs(tokenizer, found) == ["See you<|im_end|>"]


def test_a_conversation_without_a_trained_turn_has_no_token_to_learn(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    answer = {"role": "assistant", "content": "Hello", "weight": 0}
    record: Record = {"messages": [{"role": "user", "content": "Hi"}, answer]}
    assert row_of(tokenizer, DataType.CHAT, record).trained_tokens == 0


def test_marks_that_cannot_be_told_apart_by_weight_are_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = MARKED.replace("'assistant' %}", "'assistant' and loop.last %}")
    messages = [dict(message) for message in CHAT["messages"]]  # type: ignore[attr-defined]
    weighted: Record = {"messages": [*messages[:2], messages[2] | {"weight": 0}, *messages[3:]]}
    with pytest.raises(TemplateNotPrefixStable, match="marks 1 stretches for 2 turns"):
        row_of(tokenizer, DataType.CHAT, weighted)


def test_tools_and_their_calls_reach_the_template(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = WITH_TOOLS
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
    record: Record = {
        "messages": [
            {"role": "user", "content": "Sky?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "blue"},
            {"role": "assistant", "content": "Blue."},
        ],
        "tools": [{"name": "look"}],
    }
    row = row_of(tokenizer, DataType.CHAT, record)
    assert trained_runs(tokenizer, row) == [
        'look{"at": "sky"}<|im_end|>',
        "Blue.<|im_end|>",
    ]
    start = '<|im_start|>system\n[{"name": "look"}]<|im_end|>\n<|im_start|>user\nSky?'
    assert tokenizer.decode(row.input_ids).startswith(start)


def test_a_template_that_rewrites_earlier_turns_is_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = FORGETFUL
    with pytest.raises(TemplateNotPrefixStable, match="record 1"):
        row_of(tokenizer, DataType.CHAT, CHAT)


def test_a_template_without_a_stop_token_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = ENDLESS
    with pytest.raises(StopTokenNotTrained, match="record 1"):
        row_of(tokenizer, DataType.QA, QA)


def test_a_tokenizer_without_a_template_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    with pytest.raises(NoChatTemplate):
        row_of(tokenizer, DataType.QA, QA)


@pytest.mark.parametrize("train_on", TrainOn)
def test_thoughts_that_earlier_turns_lose_can_be_trained_in_the_last_one_alone(
    tokenizer: PreTrainedTokenizerBase, train_on: TrainOn
) -> None:
    tokenizer.chat_template = FORGETFUL
    stops = frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")})
    renderer = Renderer(
        tokenizer, DataType.CHAT, stop_token_ids=stops, max_length=512, train_on=train_on
    )
    if train_on is not TrainOn.LAST_ASSISTANT:
        with pytest.raises(TemplateNotPrefixStable, match="record 1: the assistant's turn 1 is"):
            renderer.row(1, CHAT)
        return
    row = renderer.row(1, CHAT)
    assert trained_runs(tokenizer, row) == ["See you<|im_end|>"]


@pytest.mark.parametrize(
    ("data_type", "record", "text"),
    [
        (DataType.COMPLETION, {"prompt": "one two", "completion": " three"}, "one two three"),
        (DataType.TEXT, {"text": "one two"}, "one two"),
        (DataType.QA, QA, None),
    ],
)
def test_all_is_every_token_but_the_first(
    tokenizer: PreTrainedTokenizerBase, data_type: DataType, record: Record, text: str | None
) -> None:
    stops = frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")})
    every = Renderer(tokenizer, data_type, stops, max_length=512, train_on=TrainOn.ALL)
    row = every.row(1, record)
    assert row.labels == [IGNORED, *row.input_ids[1:]]
    assert row.input_ids == row_of(tokenizer, data_type, record).input_ids
    if text is not None:
        assert tokenizer.decode(row.input_ids) == text + "<|im_end|>"


def test_a_completion_bears_loss_and_its_prompt_does_not(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    record: Record = {"prompt": "The capital of France", "completion": " is Paris."}
    row = row_of(tokenizer, DataType.COMPLETION, record)
    assert trained_runs(tokenizer, row) == [" is Paris.<|im_end|>"]


@pytest.mark.parametrize(
    ("data_type", "record"),
    [(DataType.TEXT, {"text": "one two"}), (DataType.CODE, {"code": "one two"})],
)
def test_all_of_a_text_bears_loss_but_its_first_token(
    tokenizer: PreTrainedTokenizerBase, data_type: DataType, record: Record
) -> None:
    row = row_of(tokenizer, data_type, record)
    assert tokenizer.decode(row.input_ids) == "one two<|im_end|>"
    assert row.labels == [IGNORED, *row.input_ids[1:]]


def test_a_tokenizer_that_adds_bos_adds_it_once(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{{ bos_token }}" + WITH_DEFAULT_SYSTEM
    row = row_of(tokenizer, DataType.QA, QA)
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
