"""What the converter to GGUF holds does not grow with the model."""

import re
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny_model import make_tiny_model
from training.export.gguf.writing import Titles, write_file
from training.export.spec import WeightType

LARGEST_TENSOR_BYTES = 4 * 512 * 2048


def make_model(folder: Path, *, layers: int) -> Path:
    """A Llama of 13 megabytes a layer."""
    make_tiny_model(folder)
    config = LlamaConfig.from_pretrained(folder)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 512, 2048, layers
    config.head_dim = 128
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def peak_of_writing(model: Path, file: Path) -> int:
    """The most that was resident while a model was written, beyond what was before, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here: man 5 proc
    before = resident("VmRSS")
    write_file(model, file, WeightType.F16, Titles("model", "base", None))
    return resident("VmHWM") - before


def resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_model_is_written_a_tensor_at_a_time(tmp_path: Path) -> None:
    large = make_model(tmp_path / "large", layers=6)
    assert (large / "model.safetensors").stat().st_size > 75e6
    peak_of_writing(make_tiny_model(tmp_path / "tiny"), tmp_path / "tiny.gguf")  # imports
    assert peak_of_writing(large, tmp_path / "large.gguf") < 8 * LARGEST_TENSOR_BYTES
