"""Ids and labels against transformers' own, token for token, on templates that models come with."""

from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from tests.training import real_templates
from tests.training.real_templates import GEMMA, LLAMA, MISTRAL, PHI, QWEN, Published
from training.config import DataType, TrainOn
from training.data.chat import pieces
from training.data.records import Record
from training.data.rendering import IGNORED, Renderer, Row
from training.data.tokenising import PieceTokenizer
from training.errors import TemplateNotPrefixStable
from training.templates.errors import TemplateFailed

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "What is the weather?"},
    {"role": "assistant", "content": "It is sunny.\n\nBye!"},
    {"role": "user", "content": "And in Paris, today?  "},
    {"role": "assistant", "content": "Sunny: 21 degrees."},
]
UNICODE = [
    {"role": "user", "content": "東京 naïve 🙂🏽 שלום\u200f \u0301e <|im_end|"},
    {"role": "assistant", "content": "Привет — «да»… 👩‍👩‍👧 ½\tok"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather at a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        },
    }
]


def call(place: str, number: int) -> dict[str, Any]:
    return {
        "id": f"call{number:05}",
        "type": "function",
        "function": {"name": "weather", "arguments": {"place": place, "days": 3}},
    }


def tool(content: str, number: int) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": f"call{number:05}"}


CALLED = [
    {"role": "user", "content": "Weather in Paris?"},
    {"role": "assistant", "tool_calls": [call("Paris", 1)]},
    tool('{"degrees": 21}', 1),
    {"role": "assistant", "content": "It is 21 degrees."},
]
CALLED_TWICE = [
    {"role": "user", "content": "Weather in Paris and Rome?"},
    {"role": "assistant", "content": "I look.", "tool_calls": [call("Paris", 1), call("Rome", 2)]},
    tool("21", 1),
    tool("25", 2),
    {"role": "assistant", "content": "21 and 25 degrees."},
]

CONVERSATIONS: dict[str, tuple[list[Any], list[Any] | None]] = {
    "one turn": (TURNS[:2], None),
    "many turns": (TURNS, None),
    "unicode": (UNICODE, None),
    "long": (
        [{"role": "user", "content": "a b c " * 99}, {"role": "assistant", "content": "yes " * 99}],
        None,
    ),
    "system": ([SYSTEM, *TURNS], None),
    "empty system": ([SYSTEM | {"content": ""}, *TURNS], None),
    "tools": (CALLED, TOOLS),
    "tools unused": (TURNS[:2], TOOLS),
    "two calls": (CALLED_TWICE, TOOLS),
}


def cases() -> list[Any]:
    """Each template with each conversation that it takes."""
    found = []
    for published in real_templates.ALL:
        for name in CONVERSATIONS:
            if "system" in name and not published.takes_system:
                continue
            if ("tools" in name or "calls" in name) and not published.takes_tools:
                continue
            if name == "two calls" and published is LLAMA:  # it takes one call at a time
                continue
            found.append(pytest.param(published, name, id=f"{published.name}-{name}"))
    return found


def oracle(
    published: Published, messages: list[Any], tools: list[Any] | None
) -> tuple[list[int], list[int]]:
    """What transformers says: ids, and 1 for each token that an assistant says."""
    tokenizer = published.tokenizer()
    shown = [{"content": ""} | message for message in messages]
    plain = tokenizer.apply_chat_template(
        shown, tools=tools, chat_template=published.text, tokenize=False
    )
    found = tokenizer.apply_chat_template(
        shown,
        tools=tools,
        chat_template=published.marked,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert plain == tokenizer.apply_chat_template(
        shown, tools=tools, chat_template=published.marked, tokenize=False
    )
    return found["input_ids"], found["assistant_masks"]


def rendered(
    published: Published, template: str, messages: list[Any], tools: list[Any] | None
) -> Row:
    tokenizer = published.tokenizer()
    tokenizer.chat_template = template
    renderer = make_renderer(tokenizer, published)
    record: Record = {"messages": messages} | ({"tools": tools} if tools else {})
    return renderer.row(1, record)


def make_renderer(
    tokenizer: PreTrainedTokenizerBase, published: Published, train_on: TrainOn = TrainOn.ASSISTANT
) -> Renderer:
    ends = {published.end_of_turn, str(tokenizer.eos_token)}
    stops = frozenset(int(tokenizer.convert_tokens_to_ids(each)) for each in ends)
    return Renderer(
        tokenizer, DataType.CHAT, stop_token_ids=stops, max_length=4096, train_on=train_on
    )


@pytest.mark.parametrize(("published", "name"), cases())
def test_ids_and_labels_are_transformers_own(published: Published, name: str) -> None:
    messages, tools = CONVERSATIONS[name]
    ids, mask = oracle(published, messages, tools)
    labels = [token if said else IGNORED for token, said in zip(ids, mask, strict=True)]
    assert sum(mask) > 0
    for template in (published.text, published.marked):  # by rendering prefixes, and by the marks
        row = rendered(published, template, messages, tools)
        assert row.input_ids == ids
        assert row.labels == labels


@pytest.mark.parametrize("published", real_templates.ALL, ids=lambda each: each.name)
def test_what_stands_before_an_answer_is_what_is_asked_with(published: Published) -> None:
    """Also where a tokenizer would join the answer's first characters with the prompt's last."""
    tokenizer = published.tokenizer()
    question = [{"role": "user", "content": "Say it"}]
    asked = tokenizer.apply_chat_template(
        question, chat_template=published.text, tokenize=False, add_generation_prompt=True
    )
    prompt = tokenizer(asked, add_special_tokens=False)["input_ids"]
    for answer in ("\n\n  indented", " spaced", "plain"):
        messages = [*question, {"role": "assistant", "content": answer}]
        row = rendered(published, published.text, messages, None)
        assert row.input_ids[: len(prompt)] == prompt
        assert row.labels[: len(prompt)] == [IGNORED] * len(prompt)
        assert row.labels[len(prompt)] == row.input_ids[len(prompt)]


@pytest.mark.parametrize("train_on", TrainOn)
@pytest.mark.parametrize("published", real_templates.ALL, ids=lambda each: each.name)
def test_the_stop_token_of_every_trained_turn_is_trained(
    published: Published, train_on: TrainOn
) -> None:
    tokenizer = published.tokenizer()
    tokenizer.chat_template = published.text
    row = make_renderer(tokenizer, published, train_on).row(1, {"messages": TURNS})
    stop = tokenizer.convert_tokens_to_ids(published.end_of_turn)
    questions_end_with_it = published not in (MISTRAL,)
    expected = {
        TrainOn.ASSISTANT: 2,
        TrainOn.LAST_ASSISTANT: 1,
        TrainOn.ALL: row.input_ids.count(stop),
    }[train_on]
    assert row.labels.count(stop) == expected
    ended_turns = 4 + (row.input_ids.count(stop) == 5)  # two templates add a system turn
    assert row.input_ids.count(stop) == (ended_turns if questions_end_with_it else 2)


@pytest.mark.parametrize("published", real_templates.ALL, ids=lambda each: each.name)
def test_what_is_trained_changes_no_token(published: Published) -> None:
    ids, mask = oracle(published, TURNS, None)
    last = max(start for start in range(1, len(mask)) if mask[start] and not mask[start - 1])
    tokenizer = published.tokenizer()
    tokenizer.chat_template = published.text
    rows = {
        train_on: make_renderer(tokenizer, published, train_on).row(1, {"messages": TURNS})
        for train_on in TrainOn
    }
    assert [row.input_ids for row in rows.values()] == [ids] * 3
    assert rows[TrainOn.LAST_ASSISTANT].labels == [
        token if said and place >= last else IGNORED
        for place, (token, said) in enumerate(zip(ids, mask, strict=True))
    ]
    assert rows[TrainOn.ALL].labels == [IGNORED, *ids[1:]]


@pytest.mark.parametrize("train_on", [TrainOn.ASSISTANT, TrainOn.ALL])
@pytest.mark.parametrize("published", real_templates.ALL, ids=lambda each: each.name)
def test_a_turn_of_weight_0_is_untrained_whatever_is_trained(
    published: Published, train_on: TrainOn
) -> None:
    tokenizer = published.tokenizer()
    tokenizer.chat_template = published.text
    renderer = make_renderer(tokenizer, published, train_on)
    weighted = [TURNS[0], TURNS[1] | {"weight": 0}, *TURNS[2:]]
    whole, found = (renderer.row(1, {"messages": each}) for each in (TURNS, weighted))
    cut = pieces(tokenizer, TURNS, line=1)
    first = next(number for number, piece in enumerate(cut) if piece.said)
    before = sum(map(len, tokenised(tokenizer, [piece.text for piece in cut[:first]])))
    through = sum(map(len, tokenised(tokenizer, [piece.text for piece in cut[: first + 1]])))
    assert found.input_ids == whole.input_ids
    assert found.labels == [
        IGNORED if before <= place < through else label for place, label in enumerate(whole.labels)
    ]
    assert found.labels != whole.labels


def tokenised(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return PieceTokenizer(tokenizer).ids(texts)


def test_bos_is_written_once_where_the_template_and_the_tokenizer_would_write_it() -> None:
    row = rendered(LLAMA, LLAMA.text, TURNS, None)
    tokenizer = LLAMA.tokenizer()
    assert tokenizer("Hello")["input_ids"][0] == tokenizer.bos_token_id
    assert [
        place for place, token in enumerate(row.input_ids) if token == tokenizer.bos_token_id
    ] == [0]
    assert row.labels[0] == IGNORED


@pytest.mark.parametrize(
    ("messages", "tools"),
    [([SYSTEM, *TURNS], None), ([*TURNS[:2], *CALLED], TOOLS)],
    ids=["system", "tools"],
)
def test_what_mistral_moves_to_the_last_question_is_refused(
    messages: list[Any], tools: list[Any] | None
) -> None:
    """Its system message and tools stand before the last question alone: the model would be trained
    on answers to what it never saw."""
    with pytest.raises(TemplateNotPrefixStable, match="turn 1 is rendered otherwise"):
        rendered(MISTRAL, MISTRAL.text, messages, tools)


@pytest.mark.parametrize(
    ("published", "messages", "tools", "reason"),
    [
        (GEMMA, [SYSTEM, *TURNS], None, "record 7: line 1 of the template: System role not sup"),
        (LLAMA, CALLED_TWICE, TOOLS, "record 7: line 71 of the template: This model only supports"),
        (MISTRAL, [TURNS[0], {"role": "assistant", "tool_calls": [call("Rome", 1) | {"id": "1"}]}],
         TOOLS, "Tool call IDs should be alphanumeric strings with length 9!"),
    ],
)  # fmt: skip
def test_what_a_template_refuses_is_told_in_its_own_words(
    published: Published, messages: list[Any], tools: list[Any] | None, reason: str
) -> None:
    tokenizer = published.tokenizer()
    tokenizer.chat_template = published.text
    record: Record = {"messages": messages} | ({"tools": tools} if tools else {})
    with pytest.raises(TemplateFailed, match=reason) as failed:
        make_renderer(tokenizer, published).row(7, record)
    assert failed.value.code == "CHAT_TEMPLATE_FAILED"


def test_phis_last_token_closes_the_conversation_and_no_turn() -> None:
    tokenizer = PHI.tokenizer()
    row = rendered(PHI, PHI.text, TURNS, None)
    assert row.input_ids[-1] == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert row.labels[-1] == IGNORED
    assert row.labels[-2] == tokenizer.convert_tokens_to_ids("<|end|>")


def test_qwens_two_tool_answers_are_one_turn_of_the_user() -> None:
    row = rendered(QWEN, QWEN.text, CALLED_TWICE, TOOLS)
    said = [token for token in row.labels if token != IGNORED]
    text = QWEN.tokenizer().decode(said)
    assert text.startswith("I look.\n<tool_call>\n")
    assert text.endswith("degrees.<|im_end|>")
    assert "21\n</tool_response>" not in text
