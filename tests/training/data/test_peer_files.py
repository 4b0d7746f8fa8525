"""Files in the shape that each trainer's documentation shows, read without a change to them.

The shapes are theirs, the content is ours.
"""

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
    SHAREGPT_CALL,
    SYSTEM,
    TOLD,
    TOOL,
    Case,
    check,
)
from training.config import DataType
from training.data.formats.shapes import Format

CASES: Final = {
    "OpenAI, a chat": Case(
        jsonl({"messages": [SYSTEM, ASKED, TOLD]}), Format.MESSAGES, DataType.CHAT, CHAT
    ),
    "OpenAI, weights": Case(
        jsonl({"messages": [ASKED, TOLD | {"weight": 0}, ASKED, TOLD | {"weight": 1}]}),
        Format.MESSAGES,
        DataType.CHAT,
        {"messages": [ASKED, TOLD | {"weight": 0}, ASKED, TOLD]},
    ),
    "OpenAI, tools": Case(
        jsonl(
            {
                "messages": [
                    {"role": "developer", "content": "You fix bicycles."},
                    {"role": "user", "content": [{"type": "text", "text": "Is a chain left?"}]},
                    {
                        "role": "assistant",
                        "content": None,
                        "refusal": None,
                        "tool_calls": [
                            {
                                "id": "call_1",
                                "type": "function",
                                "function": {"name": "stock", "arguments": '{"part": "chain"}'},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "4"},
                    {"role": "assistant", "content": "Four.", "name": "Ann"},
                ],
                "parallel_tool_calls": False,
                "tools": [TOOL],
            }
        ),
        Format.MESSAGES,
        DataType.CHAT,
        {
            "messages": [
                SYSTEM,
                {"role": "user", "content": "Is a chain left?"},
                {"role": "assistant", "tool_calls": [CALL | {"id": "call_1"}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "4"},
                {"role": "assistant", "content": "Four."},
            ],
            "tools": [TOOL],
        },
        {"parallel_tool_calls": 1, "messages[].name": 1},
    ),
    "OpenAI, function_call as it was before tools": Case(
        jsonl(
            {
                "messages": [
                    {"role": "user", "content": "Is a chain left?"},
                    {
                        "role": "assistant",
                        "function_call": {"name": "stock", "arguments": '{"part": "chain"}'},
                    },
                    {"role": "function", "name": "stock", "content": "4"},
                    {"role": "assistant", "content": "Four."},
                ]
            }
        ),
        Format.MESSAGES,
        DataType.CHAT,
        {"messages": [CALLED[0], CALLED[1], CALLED[2] | {"name": "stock"}, CALLED[3]]},
    ),
    "LLaMA-Factory, alpaca in a JSON array": Case(
        json.dumps(
            [
                {
                    "instruction": "Why does it squeak?",
                    "input": "The bicycle is old.",
                    "output": "The chain is dry.",
                    "system": "You fix bicycles.",
                    "history": [["Hello?", "Hello."]],
                }
            ],
            indent=2,
        ).encode(),
        Format.ALPACA,
        DataType.CHAT,
        {
            "messages": [
                SYSTEM,
                {"role": "user", "content": "Hello?"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Why does it squeak?\nThe bicycle is old."},
                TOLD,
            ]
        },
    ),
    "LLaMA-Factory, ShareGPT with calls of functions": Case(
        json.dumps(
            [
                {
                    "conversations": SHAREGPT_CALL,
                    "system": "You fix bicycles.",
                    "tools": json.dumps([TOOL]),
                }
            ],
            indent=2,
        ).encode(),
        Format.SHAREGPT,
        DataType.CHAT,
        {"messages": [SYSTEM, *CALLED], "tools": [TOOL]},
    ),
    "axolotl, ShareGPT as JSONL": Case(
        jsonl(
            {
                "conversations": [
                    {"from": "system", "value": "You fix bicycles."},
                    {"from": "human", "value": "Why does it squeak?"},
                    {"from": "gpt", "value": "The chain is dry.", "weight": 1},
                ]
            }
        ),
        Format.SHAREGPT,
        DataType.CHAT,
        CHAT,
    ),
    "axolotl, alpaca without input": Case(
        jsonl(
            {
                "instruction": "Why does it squeak?",
                "input": "",
                "output": "The chain is dry.",
            }
        ),
        Format.ALPACA,
        DataType.QA,
        QA,
    ),
    "axolotl, pretraining": Case(
        jsonl({"text": "A dry chain squeaks."}),
        Format.TEXT,
        DataType.TEXT,
        {"text": "A dry chain squeaks."},
    ),
    "TRL, prompt and completion": Case(
        jsonl({"prompt": "A dry chain", "completion": " squeaks."}),
        Format.PROMPT_COMPLETION,
        DataType.COMPLETION,
        {"prompt": "A dry chain", "completion": " squeaks."},
    ),
    "Unsloth, messages under conversations": Case(
        jsonl({"conversations": [SYSTEM, ASKED, TOLD]}), Format.MESSAGES, DataType.CHAT, CHAT
    ),
    "ms-swift, query and response with history": Case(
        jsonl(
            {
                "system": "You fix bicycles.",
                "query": "Why does it squeak?",
                "response": "The chain is dry.",
                "history": [["Hello?", "Hello."]],
            }
        ),
        Format.QUESTION_ANSWER,
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
    "ms-swift, loss of a message": Case(
        jsonl({"messages": [ASKED, TOLD | {"loss": False}, ASKED, TOLD | {"loss": True}]}),
        Format.MESSAGES,
        DataType.CHAT,
        {"messages": [ASKED, TOLD | {"weight": 0}, ASKED, TOLD]},
    ),
    "H2O LLM Studio, CSV": Case(
        b'id,question,answer\r\n1,"Why does it squeak?","The chain is dry."\r\n',
        Format.QUESTION_ANSWER,
        DataType.QA,
        QA,
        {"id": 1},
    ),
    "Dolly, instruction, context and response": Case(
        jsonl(
            {
                "instruction": "Why does it squeak?",
                "context": "",
                "response": "The chain is dry.",
                "category": "open_qa",
            }
        ),
        Format.ALPACA,
        DataType.QA,
        QA,
        {"category": 1},
    ),
    "A hub's Parquet, with the nulls of its columns": Case(
        parquet(
            [
                {
                    "messages": [
                        {**SYSTEM, "weight": None, "name": None},
                        {**ASKED, "weight": None, "name": None},
                        {**TOLD, "weight": 1.0, "name": None},
                    ],
                    "source": "shop",
                }
            ]
        ),
        Format.MESSAGES,
        DataType.CHAT,
        CHAT,
        {"source": 1},
    ),
    "A CSV that holds messages as JSON": Case(
        b'messages\n"' + json.dumps([SYSTEM, ASKED, TOLD]).replace('"', '""').encode() + b'"\n',
        Format.MESSAGES,
        DataType.CHAT,
        CHAT,
    ),
    "Code of a hub, by content and lang": Case(
        jsonl({"content": "x = 1\n", "lang": "Python", "stars": 3}),
        Format.CODE,
        DataType.CODE,
        {"code": "x = 1\n", "language": "Python"},
        {"stars": 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_as_others_document_it_is_read_untouched(name: str) -> None:
    check(CASES[name])
