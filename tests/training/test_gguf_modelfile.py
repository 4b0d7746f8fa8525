"""A Modelfile says what the chat template says, or says that it cannot."""

import re
from pathlib import Path

import jinja2
import pytest
from transformers import PreTrainedTokenizerBase

from tests.sentencepiece import make_sentencepiece
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model
from training.export.gguf.modelfile import Modelfile, modelfile
from training.models.tokenizers import load_tokenizer
from training.templates.named import NamedTemplate, text_of

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are <b>kind</b>.<|im_end|>\n{% endif %}"
    + CHAT_TEMPLATE
)
LAST_ALONE = "{{ messages[-1]['content'] }}"

TALKS = [
    [("user", "One")],
    [("user", "One"), ("assistant", "Two"), ("user", "Three {{ 3 }}")],
    [("system", "Zero"), ("user", "One"), ("assistant", "Two"), ("user", "Three")],
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(make_tiny_model(tmp_path_factory.mktemp("modelfile") / "tiny")))


def of(tokenizer: PreTrainedTokenizerBase, template: str | None) -> Modelfile:
    tokenizer.chat_template = template
    return modelfile(tokenizer, frozenset({2}), "tuned.gguf")


def by_ollama(text: str, talk: list[tuple[str, str]]) -> str:
    """What Ollama would render: the few words of Go's templates in it, as Jinja has them."""
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    system = re.search(r'SYSTEM """(.*?)"""', text, re.DOTALL)
    if system and talk[0][0] != "system":
        talk = [("system", system[1]), *talk]
    ends: list[str] = []

    def jinja(action: re.Match[str]) -> str:
        match action[1].split():
            case ["range", "$i,", "$_", ":=", ".Messages"]:
                ends.append("endfor")
                return "{% for role, content in messages %}"
            case ["if", "and", "$.System", "(le", "$i", "1)"]:
                ends.append("endif")
                return "{% if system and loop.index0 <= 1 %}"
            case ["$.System"]:
                return "{{ system }}"
            case ["if", "eq", ".Role", role]:
                ends.append("endif")
                return f"{{% if role == {role} %}}"
            case [".Content"]:
                return "{{ content }}"
            case ["end"]:
                return f"{{% {ends.pop()} %}}"
        raise AssertionError(action[0])

    translated = re.sub(r"\{\{ (.*?) \}\}", jinja, template)
    environment = jinja2.Environment(keep_trailing_newline=True)
    return environment.from_string(translated).render(
        messages=talk, system=dict(talk).get("system")
    )


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, DEFAULT_SYSTEM, *map(text_of, NamedTemplate)])
def test_ollama_renders_what_the_model_was_trained_on(
    tokenizer: PreTrainedTokenizerBase, template: str
) -> None:
    made = of(tokenizer, template)
    assert made.has_template
    assert made.text.startswith("FROM ./tuned.gguf\n")
    assert made.text.endswith('PARAMETER stop "<|im_end|>"\n')
    for talk in TALKS:
        messages = [{"role": role, "content": content} for role, content in talk]
        expected = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        assert by_ollama(made.text, talk) == expected


def test_a_template_that_is_more_than_texts_around_words_is_left_out(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    made = of(tokenizer, LAST_ALONE)
    assert made == Modelfile('FROM ./tuned.gguf\nPARAMETER stop "<|im_end|>"\n', has_template=False)
    assert not of(tokenizer, None).has_template


def test_bos_is_left_to_ollama_where_the_file_says_so(tmp_path: Path) -> None:
    make_sentencepiece(tmp_path, "never")
    made = modelfile(load_tokenizer(str(tmp_path)), frozenset({2}), "tuned.gguf")
    talk = TALKS[2]
    assert by_ollama(made.text, talk).startswith("[system] Zero</s>[user] One</s>")
