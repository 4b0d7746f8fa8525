"""More files in the shape that trainers' documentation shows: the same formats, written otherwise."""

import json
from typing import Final

import pytest

from tests.training.data.files import jsonl, parquet
from tests.training.data.peer_cases import (
    ASKED,
    CALL,
    CALLED,
    CHAT,
    QA,
    SYSTEM,
    TOLD,
    TOOL,
    Case,
    check,
)
from training.config import DataType
from training.data.formats.shapes import Format

CASES: Final = {
    "TRL, prompt and completion as messages": Case(
        jsonl({"prompt": [SYSTEM, ASKED, TOLD, ASKED], "completion": [TOLD], "tools": [TOOL]}),
        Format.PROMPT_MESSAGES,
        DataType.CHAT,
        {"messages": [SYSTEM, ASKED, TOLD | {"weight": 0}, ASKED, TOLD], "tools": [TOOL]},
    ),
    "TRL, language modelling": Case(
        jsonl({"text": "A dry chain squeaks."}),
        Format.TEXT,
        DataType.TEXT,
        {"text": "A dry chain squeaks."},
    ),
    "LLaMA-Factory, OpenAI's messages in a JSON array": Case(
        json.dumps([{"messages": [SYSTEM, ASKED, TOLD]}], indent=2).encode(),
        Format.MESSAGES,
        DataType.CHAT,
        CHAT,
    ),
    "LLaMA-Factory, alpaca as it is mostly": Case(
        json.dumps(
            [
                {
                    "instruction": "Why does it squeak?",
                    "input": "",
                    "output": "The chain is dry.",
                    "system": "",
                    "history": [],
                }
            ]
        ).encode(),
        Format.ALPACA,
        DataType.CHAT,
        {"messages": [ASKED, TOLD]},
    ),
    "axolotl, chat_template with turns that are not trained": Case(
        jsonl(
            {
                "messages": [
                    SYSTEM | {"train": False},
                    ASKED,
                    TOLD | {"train": False},
                    ASKED,
                    TOLD | {"training": False},
                    ASKED,
                    TOLD | {"train": True, "train_detail": []},
                ]
            }
        ),
        Format.MESSAGES,
        DataType.CHAT,
        {"messages": [SYSTEM, *[ASKED, TOLD | {"weight": 0}] * 2, ASKED, TOLD]},
        {"messages[].train": 1, "messages[].train_detail": 1},
    ),
    "axolotl, system prompt, question and response": Case(
        jsonl(
            {
                "id": "a",
                "system_prompt": "You fix bicycles.",
                "question": "Why does it squeak?",
                "response": "The chain is dry.",
            }
        ),
        Format.QUESTION_ANSWER,
        DataType.QA,
        QA | {"system": "You fix bicycles."},
        {"id": 1},
    ),
    "Unsloth, ShareGPT": Case(
        jsonl(
            {
                "conversations": [
                    {"from": "human", "value": "Why does it squeak?"},
                    {"from": "gpt", "value": "The chain is dry."},
                ],
                "source": "shop",
                "score": 5.2,
            }
        ),
        Format.SHAREGPT,
        DataType.CHAT,
        {"messages": [ASKED, TOLD]},
        {"source": 1, "score": 1},
    ),
    "ms-swift, ShareGPT by pairs": Case(
        jsonl(
            {
                "system": "You fix bicycles.",
                "conversation": [
                    {"human": "Hello?", "assistant": "Hello."},
                    {"human": "Why does it squeak?", "assistant": "The chain is dry."},
                ],
            }
        ),
        Format.SHAREGPT,
        DataType.CHAT,
        {
            "messages": [
                SYSTEM,
                {"role": "user", "content": "Hello?"},
                {"role": "assistant", "content": "Hello."},
                ASKED,
                TOLD,
            ]
        },
    ),
    "ms-swift, an agent": Case(
        jsonl(
            {
                "tools": json.dumps([TOOL]),
                "messages": [
                    {"role": "user", "content": "Is a chain left?"},
                    {
                        "role": "tool_call",
                        "content": '{"name": "stock", "arguments": {"part": "chain"}}',
                    },
                    {"role": "tool_response", "content": "4"},
                    {"role": "assistant", "content": "Four."},
                ],
            }
        ),
        Format.MESSAGES,
        DataType.CHAT,
        {"messages": CALLED, "tools": [TOOL]},
    ),
    "H2O LLM Studio, Parquet of chained prompts": Case(
        parquet(
            [
                {
                    "instruction": "Why does it squeak?",
                    "output": "The chain is dry.",
                    "id": "b",
                    "parent_id": None,
                    "lang": "en",
                }
            ]
        ),
        Format.ALPACA,
        DataType.QA,
        QA,
        {"id": 1, "lang": 1},
    ),
    "torchtune, input and output in CSV": Case(
        b"input,output\nWhy does it squeak?,The chain is dry.\n",
        Format.QUESTION_ANSWER,
        DataType.QA,
        QA,
    ),
    "Ludwig, instruction, input and output in CSV": Case(
        b"instruction,input,output\nWhy does it squeak?,It is old.,The chain is dry.\n",
        Format.ALPACA,
        DataType.QA,
        {"question": "Why does it squeak?\nIt is old.", "answer": "The chain is dry."},
    ),
    "Together, an instruction": Case(
        jsonl({"prompt": "Why does it squeak?", "completion": "The chain is dry."}),
        Format.PROMPT_COMPLETION,
        DataType.COMPLETION,
        {"prompt": "Why does it squeak?", "completion": "The chain is dry."},
    ),
    "Kiln, an export with a call of a tool": Case(
        jsonl(
            {
                "messages": [
                    SYSTEM,
                    {"role": "user", "content": "Is a chain left?"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "call_1",
                                "type": "function",
                                "function": {"name": "stock", "arguments": '{"part": "chain"}'},
                            }
                        ],
                    },
                    {"role": "tool", "content": "4", "tool_call_id": "call_1"},
                    {"role": "assistant", "content": "Four."},
                ],
                "tools": [TOOL],
            }
        ),
        Format.MESSAGES,
        DataType.CHAT,
        {
            "messages": [
                SYSTEM,
                CALLED[0],
                {"role": "assistant", "tool_calls": [CALL | {"id": "call_1"}]},
                {"role": "tool", "content": "4", "tool_call_id": "call_1"},
                CALLED[3],
            ],
            "tools": [TOOL],
        },
    ),
    "AutoTrain, a column of text in CSV": Case(
        b'text\n"A dry chain squeaks.\nOil it."\n',
        Format.TEXT,
        DataType.TEXT,
        {"text": "A dry chain squeaks.\nOil it."},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_as_others_document_it_is_read_untouched_in_each_variant(name: str) -> None:
    check(CASES[name])
