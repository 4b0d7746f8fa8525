"""A trained version as an ONNX folder: graph, weights, tokenizer, and when to stop."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from transformers import PreTrainedModel

from training.export.cards import has_template, write_card
from training.export.errors import NotExportable, require
from training.export.exporters import tallied
from training.export.merging import whole_model
from training.export.onnx.names import GRAPH
from training.export.pytorch import write_configuration
from training.export.spec import ExportFormat, ExportSpec, StoredType
from training.models.base_models import load_tokenizer

__all__ = ["asker", "stored", "write"]


def write(spec: ExportSpec, folder: Path, *, full_precision: bool = False) -> None:
    """Write the graph in fp32, or with its linear layers in 8 bits."""
    del full_precision  # it is anyway
    require(ExportFormat.ONNX)
    from training.export.onnx.graph import write_graph  # onnx is an extra, which may be missing
    from training.export.onnx.stripping import strip

    model = whole_model(spec)
    write_configuration(model, folder)
    load_tokenizer(spec.version_path).save_pretrained(folder)
    if spec.weight_type is None:
        write_graph(model, folder)
    else:
        _write_quantised(model, folder)
    strip(folder / GRAPH)
    write_card(spec, folder, usage=_usage(spec), library="onnx")


def asker(spec: ExportSpec, folder: Path) -> list[str]:
    """onnxruntime, and for the tokenizer transformers."""
    del spec
    return ["training.export.onnx.answers", str(folder)]


def stored(folder: Path) -> tuple[StoredType, ...]:
    """By the graph's tensors of floats, and those that stand for some in 8 bits."""
    from training.export.onnx.tensors import tensors  # as above

    return tallied(tensors(folder / GRAPH))


def _write_quantised(model: PreTrainedModel, folder: Path) -> None:
    from training.export.onnx.graph import write_graph  # as above

    with TemporaryDirectory(".partial", ".fp32.", folder.parent) as whole:
        write_graph(model, Path(whole))
        from training.export.onnx.eight_bits import quantise  # lets all of the above log its steps

        if not quantise(Path(whole), folder):
            reason = "none of its layers is a product with a constant matrix"
            raise NotExportable(ExportFormat.ONNX, type(model).__name__, f"in 8 bits: {reason}")


def _usage(spec: ExportSpec) -> str:
    return _USAGE.replace("PROMPT", _CHAT if has_template(spec) else _TEXT)


_CHAT: Final = """\
messages = [{"role": "user", "content": "Hello"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
"""
_TEXT: Final = """\
prompt = tokenizer("Hello")["input_ids"]
"""
_USAGE: Final = """\
import numpy as np
import onnxruntime
from transformers import AutoTokenizer, GenerationConfig

folder = "."  # this folder: model.onnx finds its weights in model.onnx.data beside it
tokenizer = AutoTokenizer.from_pretrained(folder)
stops = np.atleast_1d(GenerationConfig.from_pretrained(folder).eos_token_id)
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
outputs = [each.name for each in session.get_outputs()]

PROMPT
cache = {
    each.name: np.zeros((1, each.shape[1], 0, each.shape[3]), np.float32)
    for each in session.get_inputs()
    if each.name.startswith("past_key_values")
}
answer, new, length = [], prompt, 0
while len(answer) < 64 and (not answer or answer[-1] not in stops):
    length += len(new)
    given = {
        "input_ids": np.array([new]),
        "attention_mask": np.ones((1, length), np.int64),
        "position_ids": np.arange(length - len(new), length)[None],
    }
    logits, *present = session.run(outputs, given | cache)
    cache = dict(zip(cache, present))
    new = [int(logits[0, -1].argmax())]
    answer += new
print(tokenizer.decode(answer))
"""
