"""How a GGUF file is loaded, and what it holds, for the README beside it."""

from collections.abc import Sequence
from typing import Final

from training.export.spec import StoredType

__all__ = ["adapter_further", "adapter_usage", "further", "usage"]


def usage(file_name: str, *, has_template: bool) -> str:
    """Python that loads the file and answers."""
    return (_CHAT if has_template else _TEXT).format(file_name=file_name)


def further(file_name: str, held: Sequence[StoredType], *, notes: Sequence[str]) -> str:
    """The other ways to load it, what it really holds, and what must be known of it."""
    size_bytes = sum(each.size_bytes for each in held)
    return _FURTHER.format(
        file_name=file_name,
        notes="".join(f"{note}\n\n" for note in notes),
        bits=8 * size_bytes / sum(each.parameters for each in held),
        rows="\n".join(
            f"| {each.name} | {each.tensors} | {each.parameters:,} | {each.size_bytes:,} |"
            for each in held
        ),
    )


def adapter_usage(file_name: str) -> str:
    """Python that loads an adapter beside its base and answers."""
    loading = 'Llama("base.gguf", lora_path="{file_name}", n_ctx=0)  # its base, as GGUF'
    return _CHAT.replace(_LOADING, loading).format(file_name=file_name)


def adapter_further(file_name: str) -> str:
    """The other ways to load an adapter."""
    return _ADAPTER_FURTHER.format(file_name=file_name)


_LOADING: Final = 'Llama("{file_name}", n_ctx=0)  # as long as the model allows'
_CHAT: Final = """\
from llama_cpp import Llama

model = Llama("{file_name}", n_ctx=0)  # as long as the model allows
messages = [{{"role": "user", "content": "Hello"}}]
answer = model.create_chat_completion(messages, max_tokens=64)
print(answer["choices"][0]["message"]["content"])
"""
_TEXT: Final = """\
from llama_cpp import Llama

model = Llama("{file_name}", n_ctx=0)  # as long as the model allows
print(model("Hello", max_tokens=64)["choices"][0]["text"])
"""

_FURTHER: Final = """\
By llama.cpp itself, and by Ollama with the `Modelfile` beside the file:

```sh
llama-cli -m {file_name}
ollama create my-model -f Modelfile && ollama run my-model
```

{notes}The weights take {bits:.2f} bits each, without the vocabulary:

| element type | tensors | parameters | bytes |
|---|---|---|---|
{rows}
"""

_ADAPTER_FURTHER: Final = """\
By llama.cpp itself; a Modelfile for Ollama has `FROM ./base.gguf` and `ADAPTER ./{file_name}`:

```sh
llama-cli -m base.gguf --lora {file_name}
```

The tokenizer, the chat template and the stops are the base file's.
"""
