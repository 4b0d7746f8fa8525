"""Published chat templates with the tokenizers they are used with, and the same templates with marks.

The marked ones are the oracle's: `{% generation %}` is put around what the assistant says, from its
first character to the token that ends the turn, by the replacements below. Nothing else is changed,
and the tests see that both render the same text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from tests.training.chat_tokenizers import byte_level, sentencepiece

HERE = Path(__file__).parent / "chat_templates"


@dataclass(frozen=True)
class Published:
    """A template as it is published, and what its marked form is made by."""

    name: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    end_of_turn: str
    marks: tuple[tuple[str, str], ...]
    takes_system: bool = True
    takes_tools: bool = False

    @property
    def text(self) -> str:
        return (HERE / f"{self.name}.jinja").read_text(encoding="utf-8")

    @property
    def marked(self) -> str:
        text = self.text
        for plain, marked in self.marks:
            assert plain in text, plain
            text = text.replace(plain, marked)
        return text


def _turn(header: str, content: str, end: str, *, assistant: str, after: str = "") -> str:
    """A turn whose content and end are marked where it is the assistant's."""
    said = f"{{{{- {content} + {end} }}}}"
    return (
        f"{{{{- {header} }}}}{{%- if {assistant} %}}{{%- generation %}}{said}{{%- endgeneration %}}"
        f"{{%- else %}}{said}{{%- endif %}}" + (f"{{{{- {after} }}}}" if after else "")
    )


QWEN = Published(
    "qwen2_5",
    lambda: byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bos=None, eos="<|im_end|>"),
    "<|im_end|>",
    (
        (
            r"{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}",
            _turn(
                r"'<|im_start|>' + message.role + '\n'",
                "message.content",
                "'<|im_end|>'",
                assistant="message.role == 'assistant'",
                after=r"'\n'",
            ),
        ),
        (
            "{{- '<|im_start|>' + message.role }}\n",
            "{{- '<|im_start|>' + message.role + '\\n' }}{%- generation %}\n",
        ),
        (r"{{- '\n' + message.content }}", "{{- message.content }}"),
        (
            r"""{{- '\n<tool_call>\n{"name": "' }}""",
            r"""{{- '' if loop.first and not message.content else '\n' }}"""
            r"""{{- '<tool_call>\n{"name": "' }}""",
        ),
        (
            "        {{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
            "        {{- '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}\n"
            '    {%- elif message.role == "tool" %}',
        ),
    ),
    takes_tools=True,
)

LLAMA = Published(
    "llama3_1",
    lambda: byte_level(
        [
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|python_tag|>",
        ],
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        adds_bos=True,
    ),
    "<|eot_id|>",
    (
        (
            "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
            "+ message['content'] | trim + '<|eot_id|>' }}",
            _turn(
                r"'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'",
                "message['content'] | trim",
                "'<|eot_id|>'",
                assistant="message.role == 'assistant'",
            ),
        ),
        (r"            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}" + "\n", ""),
        (
            "{%- set tool_call = message.tool_calls[0].function %}\n",
            "{%- set tool_call = message.tool_calls[0].function %}\n"
            r"        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- generation %}"
            "\n",
        ),
        (
            '        {%- endif %}\n    {%- elif message.role == "tool"',
            '        {%- endif %}{%- endgeneration %}\n    {%- elif message.role == "tool"',
        ),
    ),
    takes_tools=True,
)

GEMMA = Published(
    "gemma",
    lambda: sentencepiece(
        ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
        bos="<bos>",
        eos="<end_of_turn>",
        prefix="never",
    ),
    "<end_of_turn>",
    (
        (
            "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}",
            _turn(
                "'<start_of_turn>' + role + '\n'",
                "message['content'] | trim",
                "'<end_of_turn>'",
                assistant="role == 'model'",
                after="'\n'",
            ),
        ),
    ),
    takes_system=False,
)

PHI = Published(
    "phi3",
    lambda: sentencepiece(
        ["<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
        bos="<s>",
        eos="<|endoftext|>",
        strips_after=["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    ),
    "<|end|>",
    (
        (
            "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}",
            "{{'<|assistant|>\n'}}{% generation %}{{ message['content'] + '<|end|>' }}"
            "{% endgeneration %}{{ '\n' }}",
        ),
    ),
)

MISTRAL = Published(
    "mistral_v3",
    lambda: sentencepiece(
        [
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "[TOOL_CALLS]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
        ],
        bos="<s>",
        eos="</s>",
    ),
    "</s>",
    (
        (
            '{{- " " + content|trim + eos_token }}',
            '{%- generation %}{{- " " + content|trim + eos_token }}{%- endgeneration %}',
        ),
        ('{{- "[TOOL_CALLS] [" }}', '{%- generation %}{{- "[TOOL_CALLS] [" }}'),
        (
            '        {%- endfor %}\n    {%- elif message["role"] == "assistant" %}',
            "        {%- endfor %}{%- endgeneration %}\n"
            '    {%- elif message["role"] == "assistant" %}',
        ),
    ),
    takes_system=False,
    takes_tools=True,
)

SMOLLM = Published(
    "smollm2",
    lambda: byte_level(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bos="<|im_start|>", eos="<|im_end|>"
    ),
    "<|im_end|>",
    (
        (
            "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}",
            _turn(
                "'<|im_start|>' + message['role'] + '\n'",
                "message['content']",
                "'<|im_end|>'",
                assistant="message['role'] == 'assistant'",
                after="'\n'",
            ),
        ),
    ),
)

ALL = (QWEN, LLAMA, MISTRAL, GEMMA, PHI, SMOLLM)
