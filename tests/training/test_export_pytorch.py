"""A state_dict that is the trained model, loaded without running code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import storage_ptr

from tests.training.versions import (
    LICENCE,
    contents,
    in_format,
    told_by_its_readme,
    trained_version,
)
from training.errors import DiskFull, ModelUnreadable, ParityFailed
from training.export import making, pytorch
from training.export.answers import state_dict_answers
from training.export.bounds import EXACT, ROUNDED, Bounds
from training.export.comparing import compare
from training.export.parity import judge, questions_of, trained_answers
from training.export.spec import ExportFormat, ExportSpec, Parity
from training.files import damage, disk_full_named


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ExportSpec:
    version = trained_version(tmp_path_factory.mktemp("qwen2"), "qwen2")
    return in_format(version, ExportFormat.PYTORCH)


@pytest.fixture
def files(spec: ExportSpec, tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    pytorch.write(spec, folder)
    return folder


def parity(spec: ExportSpec, files: Path, bounds: Bounds = EXACT) -> Parity:
    questions = questions_of(spec)
    exported = state_dict_answers(files, questions)
    return judge(compare(trained_answers(spec, questions), exported), bounds)


def test_it_is_the_trained_model(spec: ExportSpec, files: Path) -> None:
    found = parity(spec, files)
    assert found.kl_divergence < 1e-12
    assert found.top1_agreement == 1.0
    assert found.job_rows == 4
    assert set(contents(files)) == {
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "pytorch_model.bin",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_tied_weights_are_there_once_under_both_names(files: Path) -> None:
    weights = torch.load(files / "pytorch_model.bin", weights_only=True)
    head, embeddings = weights["lm_head.weight"], weights["model.embed_tokens.weight"]
    assert storage_ptr(head) == storage_ptr(embeddings)
    (stored,) = pytorch.stored(files)
    whole = sum(each.numel() for each in weights.values()) - head.numel()
    assert (stored.name, stored.parameters, stored.size_bytes) == ("float32", whole, 4 * whole)
    assert stored.tensors == len(weights) - 1
    loaded = pytorch.load(files, torch.float32)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight


def test_written_again_it_is_the_same_to_the_byte(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    pytorch.write(spec, again)
    assert contents(again) == contents(files)


def test_its_readme_loads_it_and_says_whose_it_is(spec: ExportSpec, files: Path) -> None:
    assert "<|im_start|>assistant" in told_by_its_readme(files)
    card = (files / "README.md").read_text()
    assert card.startswith(
        "---\nlicense: other\nlicense_name: careful\nlicense_link: LICENSE\n"
        'base_model: "someone/small"\nlibrary_name: transformers\n---\n# Tuned\n'
    )
    assert (files / "LICENSE").read_text() == LICENCE
    place = str(Path(spec.model_path).parent).encode()
    assert not any(place in content for content in contents(files).values())


def test_a_full_disk_is_named(spec: ExportSpec, tmp_path: Path) -> None:
    (tmp_path / pytorch.WEIGHTS).symlink_to("/dev/full")
    with pytest.raises(DiskFull), disk_full_named(tmp_path):
        pytorch.write(spec, tmp_path)


def test_the_untrained_base_is_refused(spec: ExportSpec, files: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    untrained = spec.model_copy(update={"version_path": spec.model_path, "adapter": False})
    pytorch.write(untrained, base)
    (base / pytorch.WEIGHTS).replace(files / pytorch.WEIGHTS)
    with pytest.raises(ParityFailed, match=r"the KL divergence is .*; first, after 1 tokens of"):
        parity(spec, files)


def test_what_would_run_code_is_not_loaded(files: Path) -> None:
    model = pytorch.load(files, torch.float32)
    torch.save(model, files / pytorch.WEIGHTS)
    with pytest.raises(ModelUnreadable, match=r"pytorch_model\.bin holds more than tensors"):
        pytorch.load(files, torch.float32)


def test_weights_that_are_not_the_architectures_are_not_loaded(files: Path) -> None:
    weights = torch.load(files / pytorch.WEIGHTS, weights_only=True)
    del weights["model.norm.weight"]
    torch.save(weights, files / pytorch.WEIGHTS)
    with pytest.raises(ModelUnreadable, match=r"Error.* in loading state_dict"):
        pytorch.load(files, torch.float32)


@pytest.mark.slow
def test_gpt2_in_halves_is_exported_by_processes_that_know_its_files_alone(tmp_path: Path) -> None:
    version = trained_version(tmp_path, "gpt2", halved=True)
    folder = tmp_path / "export"
    folder.mkdir()
    result = making.make(in_format(version, ExportFormat.PYTORCH), folder)
    assert (result.dtype, result.bits_per_weight) == ("bfloat16", 16.0)
    assert result.compression_ratio == pytest.approx(2.0)
    assert 0 < result.parity.kl_divergence < ROUNDED.kl_divergence
    assert result.parity.job_rows == 4
    assert damage(folder / "files") is None
