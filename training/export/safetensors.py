"""A trained version as plain safetensors: the adapter merged into its base, or the adapter alone."""

import json
import shutil
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedModel

from training.export.spec import ExportSpec
from training.methods.adapters import merged
from training.methods.quantisation import load_dequantised
from training.models.base_models import (
    GENERATION_CONFIG,
    load_base,
    load_tokenizer,
    take_generation_config,
)
from training.models.licences import declared_licence
from training.models.sources import local_folder
from training.models.weights import stored_weights

_TORCH_DTYPES: Final = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def write(spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
    """Write a folder that transformers loads by itself, or with `adapter_only` beside its base.

    Merging is done in fp32, into the base that the adapter was trained beside: of one in 4 bits,
    into the values that these stand for. The result is stored in the element type the base is stored in, or
    with `full_precision` in fp32. The same version gives the same bytes. Raises `ModelUnreadable`.
    """
    base = local_folder(spec.model_path)
    if spec.adapter_only:
        _copy_adapter(Path(spec.version_path), folder)
    else:
        stored = "float32" if full_precision else stored_weights(base).dtype
        model = _whole_model(spec)
        take_generation_config(model, Path(spec.version_path))
        model.to(_TORCH_DTYPES.get(stored, torch.float32))  # type: ignore[arg-type]  # annotated wrongly
        model.save_pretrained(folder)
        load_tokenizer(spec.version_path).save_pretrained(folder)
    for licence in sorted(base.glob("LICEN[SC]E*")):
        shutil.copyfile(licence, folder / licence.name)
    (folder / "README.md").write_text(_card(spec, base), encoding="utf-8")


def parameters_in(folder: Path) -> int:
    """Elements over all weights of a folder, tied ones once."""
    shapes = stored_weights(folder).shapes.values()
    return sum(int(torch.Size(shape).numel()) for shape in shapes)


def _whole_model(spec: ExportSpec) -> PreTrainedModel:
    if not spec.adapter:
        return load_base(spec.version_path, torch.float32)
    if spec.quantised:
        return merged(load_dequantised(spec.model_path), Path(spec.version_path))
    return merged(load_base(spec.model_path, torch.float32), Path(spec.version_path))


def _copy_adapter(version: Path, folder: Path) -> None:
    for path in sorted(version.iterdir()):
        if path.name != "manifest.json":
            shutil.copyfile(path, folder / path.name)


def _card(spec: ExportSpec, base: Path) -> str:
    """How to load the folder, under the front matter that model hubs read."""
    name = " ".join(spec.model_name.split())
    base_name = spec.base_name or (base.name if Path(spec.model_path).is_dir() else spec.model_path)
    loading = _MODEL_LOADING
    if spec.adapter_only:
        loading = _QUANTISED_LOADING if spec.quantised else _ADAPTER_LOADING
    if not (Path(spec.version_path) / GENERATION_CONFIG).is_file():
        loading = loading.replace(_STOPPING, "")
    licence = declared_licence(base)
    front_matter = [
        *([f"license: {licence}"] if licence else []),
        f"base_model: {json.dumps(base_name)}",
        f"library_name: {'peft' if spec.adapter_only else 'transformers'}",
    ]
    return _CARD.format(
        front_matter="\n".join(front_matter),
        name=name,
        base_name=base_name,
        loading=loading.format(base_name=base_name),
    )


_CARD: Final = """\
---
{front_matter}
---
# {name}

Fine-tuned from {base_name}.

```python
{loading}
messages = [{{"role": "user", "content": "Hello"}}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0]))
```

`manifest.json` holds the size and the SHA-256 of every file.
"""

_MODEL_LOADING: Final = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
"""

_STOPPING: Final = "model.generation_config = GenerationConfig.from_pretrained(folder)\n"
"""Left out for a version that was stored before this was kept."""

_ADAPTER_LOADING: Final = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base_name}"), folder)
model.generation_config = GenerationConfig.from_pretrained(folder)
"""

_QUANTISED_LOADING: Final = """\
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
)

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
nf4 = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
base = AutoModelForCausalLM.from_pretrained("{base_name}", quantization_config=nf4)
model = PeftModel.from_pretrained(base, folder)
model.generation_config = GenerationConfig.from_pretrained(folder)
"""
