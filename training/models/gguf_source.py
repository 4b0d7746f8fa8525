"""A GGUF file as a plain checkpoint: `python -P -m training.models.gguf_source MODEL.gguf OUT_DIR`.

The weights are dequantised and stored in bf16: the element type such models are published in, half
the size of fp32, and the very numbers that LoRA trains beside on a machine with bf16. Rounding to
it is small beside what the quantisation already took away.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from training.errors import ModelUnreadable, TrainingError
from training.files import whole_folder
from training.libraries import prepare_environment, silence
from training.models.base_models import load_base
from training.models.tokenizers import load_tokenizer

_DIGITS_BEFORE_BYTES: Final = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}
"""How SmolLM splits text; transformers drops the first part when it reads a GGUF file."""


def convert(source: Path, folder: Path) -> None:
    """Write `folder` with weights, tokenizer, chat template and licence, and load it again.

    Raises `ModelUnreadable` where the file cannot be read, or what was written is not what it held.
    """
    try:
        metadata = GGUFReader(source)
        model = AutoModelForCausalLM.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelUnreadable(source.name, reason) from error
    with whole_folder(folder) as temporary:
        plain = _plain(model)
        plain.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if _text(metadata, "tokenizer.ggml.pre") == "smollm":
            _split_digits(temporary / "tokenizer.json")
        licence = _text(metadata, "general.license")
        if licence is not None:
            (temporary / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
        _verify(plain, temporary, source)


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights in bf16, in a model that knows nothing of quantisation."""
    options = model.config.to_dict()
    options.pop("quantization_config", None)
    config = type(model.config).from_dict(options | {"dtype": "bfloat16"})
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.to(torch.bfloat16)  # type: ignore[arg-type]  # annotated wrongly
    return plain


def _split_digits(path: Path) -> None:
    tokenizer = json.loads(path.read_bytes())
    tokenizer["pre_tokenizer"] = _DIGITS_BEFORE_BYTES
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=2))


def _text(metadata: GGUFReader, key: str) -> str | None:
    field = metadata.get_field(key)
    return None if field is None else str(field.contents())


def _verify(plain: PreTrainedModel, folder: Path, source: Path) -> None:
    """Load the folder as anyone would, and see that it is what was meant to be written."""
    again = load_base(str(folder), torch.bfloat16)
    written = again.state_dict()
    for name, tensor in plain.state_dict().items():
        if not torch.equal(tensor, written[name]):
            raise ModelUnreadable(source.name, f"the weight {name} changed on its way to disk")
    if load_tokenizer(str(folder)).chat_template is None:
        raise ModelUnreadable(source.name, "it has no chat template")


def main(arguments: list[str] | None = None) -> int:
    """Convert one file; the exit code, 1 where it failed and said why."""
    parser = argparse.ArgumentParser(
        prog="training.models.gguf_source", description="Unpack a GGUF."
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    prepare_environment(str(options.source.parent))
    silence()
    try:
        convert(options.source, options.folder)
    except TrainingError as error:
        sys.stderr.write(f"{error.message} {error.remedy or ''}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
