"""An adapter alone, laid by llama.cpp beside its base, is the trained version."""

import shutil
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from peft import LoraConfig, get_peft_model

from tests.tiny_model import make_architecture
from tests.training.gguf_files import changed, needs_llama, parity, spec_of, written
from training.export.bounds import bounds_of
from training.export.errors import NotExportable
from training.export.parity import compare, judge, questions_of, trained_answers
from training.export.spec import ExportSpec, WeightType
from training.models.base_models import load_base

pytestmark = needs_llama


def adapted(folder: Path, architecture: str, *, rs_lora: bool = False) -> ExportSpec:
    """A version whose adapter says something else than its base at every position."""
    base = make_architecture(folder / "base", architecture)
    version = shutil.copytree(base, folder / "version")
    (version / "model.safetensors").unlink()
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=6,
        target_modules="all-linear",
        use_rslora=rs_lora,
        init_lora_weights=False,
        fan_in_fan_out=architecture == "gpt2",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        get_peft_model(load_base(str(base), torch.float32), lora).save_pretrained(str(version))
    return spec_of(
        base,
        version_path=str(version),
        adapter=True,
        adapter_only=True,
        weight_type=None,
        base_name="someone/tiny",
    )


@pytest.mark.parametrize(("architecture", "rs_lora"), [("llama", False), ("gpt2", True)])
def test_an_adapter_beside_its_base_says_what_the_version_says(
    tmp_path: Path, architecture: str, rs_lora: bool
) -> None:
    spec = adapted(tmp_path, architecture, rs_lora=rs_lora)
    if rs_lora:  # of before a version kept where its answers end
        (Path(spec.version_path) / "generation_config.json").unlink()
    files = written(spec, tmp_path / "files")
    found = judge(parity(spec, files), bounds_of(WeightType.F32))
    assert found.kl_divergence < 1e-8
    questions = questions_of(spec)
    untuned = spec.model_copy(update={"version_path": spec.model_path, "adapter": False})
    told_apart = compare(trained_answers(spec, questions), trained_answers(untuned, questions))
    assert told_apart.kl_divergence > 1e-2
    assert sorted(each.name for each in files.iterdir()) == ["README.md", "tuned-lora.gguf"]
    assert "someone/tiny" in (files / "README.md").read_text()
    reader = GGUFReader(files / "tuned-lora.gguf")
    assert {each.name.rpartition(".")[2] for each in reader.tensors} == {"lora_a", "lora_b"}


def test_what_is_more_than_lora_is_named(tmp_path: Path) -> None:
    spec = adapted(tmp_path, "llama")
    settings = {"use_dora": True}
    dora = changed(Path(spec.version_path), tmp_path / "dora", adapter_config=settings)
    with pytest.raises(NotExportable, match="its adapter sets use_dora"):
        written(spec.model_copy(update={"version_path": str(dora)}), tmp_path / "first")
    with pytest.raises(NotExportable, match="belongs to a base in 4 bits"):
        written(spec.model_copy(update={"quantised": True}), tmp_path / "second")
