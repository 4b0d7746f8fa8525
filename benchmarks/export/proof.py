"""That a file is the model: `python -m benchmarks.export.proof RUNTIME FILES MODEL FOLDER`.

The file is loaded by its own runtime, and its logits at every token of one text are compared with those
of the checkpoint in fp32, which are computed once. Leaves `FOLDER/proof.json`.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from gguf import GGUFReader
from llama_cpp import GGML_TYPE_F32, Llama
from numpy.typing import NDArray
from onnx import load as load_graph

from training.export import pytorch
from training.libraries import prepare_environment, silence
from training.models.base_models import load_base
from training.models.tokenizers import load_tokenizer
from training.models.weights import stored_weights

TEXT: Final = (
    "The lighthouse keeper counted 12 ships that evening, and wrote each name into a book: the "
    "Aurora, the Bonne Chance, the Célestine. By midnight the wind had turned. What he did next, "
    "nobody in the village could explain, for the lamp went out at a quarter past two, and when the "
    "boats came in at dawn its door stood open, the kettle was warm, and the book was gone."
)
Logits = NDArray[np.float32]


def main() -> None:
    """Ask, compare, write."""
    runtime = sys.argv[1]
    files, model, folder = map(Path, sys.argv[2:])
    prepare_environment(str(model))
    silence()
    ids: list[int] = load_tokenizer(str(model))(TEXT, add_special_tokens=False)["input_ids"]
    reference = folder.parent / "reference.npy"
    if not reference.exists():
        np.save(reference, _by_torch(load_base(str(model), torch.float32), ids))
    found = RUNTIMES[runtime](files, ids)
    proof = _compared(np.load(reference), found) | FACTS.get(runtime, _no_facts)(files, ids)
    (folder / "proof.json").write_text(json.dumps(proof))


def _compared(expected: Logits, found: Logits) -> dict[str, Any]:
    first, second = torch.from_numpy(expected).double(), torch.from_numpy(found).double()
    logarithms = first.log_softmax(-1)
    divergence = (logarithms.exp() * (logarithms - second.log_softmax(-1))).sum(-1).mean()
    agree = (first.argmax(-1) == second.argmax(-1)).double().mean()
    return {"kl": max(0.0, float(divergence)), "top1": float(agree)}


@torch.no_grad()
def _by_torch(model: torch.nn.Module, ids: Sequence[int]) -> Logits:
    logits = model.eval()(input_ids=torch.tensor([list(ids)])).logits[0]
    return np.asarray(logits.float().numpy())


def _by_llama_cpp(files: Path, ids: Sequence[int]) -> Logits:
    model = Llama(
        str(next(files.glob("*.gguf"))),
        n_ctx=len(ids),
        n_batch=len(ids),
        logits_all=True,
        type_k=GGML_TYPE_F32,
        type_v=GGML_TYPE_F32,
        verbose=False,
    )
    model.eval(list(ids))
    logits = np.array(model.scores[: len(ids)], dtype=np.float32)
    model.close()
    return logits


def _by_onnxruntime(files: Path, ids: Sequence[int]) -> Logits:
    session = onnxruntime.InferenceSession(files / "model.onnx")
    given: dict[str, NDArray[Any]] = {}
    for each in session.get_inputs():
        if each.name.startswith("past_key_values"):
            heads, width = each.shape[1], each.shape[3]
            if isinstance(width, str):  # the peer's graph leaves it to a file beside it
                settings = json.loads((files / "genai_config.json").read_bytes())
                width = settings["model"]["decoder"]["head_size"]
            given[each.name] = np.zeros((1, heads, 0, width), np.float32)
        elif each.name == "attention_mask":
            given[each.name] = np.ones((1, len(ids)), np.int64)
        elif each.name == "position_ids":
            given[each.name] = np.arange(len(ids))[None]
        else:
            given[each.name] = np.array([list(ids)])
    return np.asarray(session.run(["logits"], given)[0][0], dtype=np.float32)


def _of_gguf(files: Path, ids: Sequence[int]) -> dict[str, Any]:
    """How many tensors there are, one checksum over all, and whether the text becomes the same tokens."""
    path = next(files.glob("*.gguf"))
    digest, reader = hashlib.sha256(), GGUFReader(path)
    for each in sorted(reader.tensors, key=lambda tensor: tensor.name):
        digest.update(f"{each.name} {each.tensor_type.name} {each.shape.tolist()}".encode())
        digest.update(each.data.tobytes())
    words = Llama(str(path), vocab_only=True, verbose=False)
    same = words.tokenize(TEXT.encode(), add_bos=False, special=True) == list(ids)
    words.close()
    return {"tensors": len(reader.tensors), "digest": digest.hexdigest(), "tokens_equal": same}


def _of_onnx(files: Path, ids: Sequence[int]) -> dict[str, Any]:
    del ids
    graph = load_graph(str(files / "model.onnx"), load_external_data=False).graph
    return {"tensors": len(graph.initializer)}


def _of_safetensors(files: Path, ids: Sequence[int]) -> dict[str, Any]:
    del ids
    return {"tensors": len(stored_weights(files).shapes)}


def _no_facts(files: Path, ids: Sequence[int]) -> dict[str, Any]:
    del files, ids
    return {}


RUNTIMES: Final[Mapping[str, Callable[[Path, Sequence[int]], Logits]]] = {
    "gguf": _by_llama_cpp,
    "onnx": _by_onnxruntime,
    "transformers": lambda files, ids: _by_torch(load_base(str(files), torch.float32), ids),
    "torch": lambda files, ids: _by_torch(pytorch.load(files, torch.float32), ids),
}
FACTS: Final[Mapping[str, Callable[[Path, Sequence[int]], dict[str, Any]]]] = {
    "gguf": _of_gguf,
    "onnx": _of_onnx,
    "transformers": _of_safetensors,
}


if __name__ == "__main__":
    main()
