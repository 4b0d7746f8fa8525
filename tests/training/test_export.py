"""Exports are the trained model, or they are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_model import make_tiny_model
from tests.training.jobs import qa_rows, run_here, write_job
from tests.training.versions import contents, halve, told_by_its_readme
from training.config import TrainingType
from training.errors import ParityFailed
from training.export import bounds, making, run, safetensors
from training.export.answers import exported_answers
from training.export.parity import (
    EXACT,
    ROUNDED,
    Bounds,
    compare,
    judge,
    questions_of,
    trained_answers,
)
from training.export.spec import ExportResult, ExportSpec, Parity
from training.files import damage
from training.models.base_models import load_base

MakeJob = Callable[..., Path]


@pytest.fixture(scope="module")
def spec(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportSpec:
    job = write_job(
        tmp_path_factory.mktemp("version") / "job", tiny_model, qa_rows(12), learning_rate=1e-2
    )
    run_here(job)
    return ExportSpec(
        version_path=str(job / "model"),
        model_path=str(tiny_model),
        adapter=True,
        model_name="My model",
        job_path=str(job),
    )


@pytest.fixture(scope="module")
def made(spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportResult, Path]:
    folder = tmp_path_factory.mktemp("export")
    return making.make(spec, folder), folder


@pytest.fixture
def files(made: tuple[ExportResult, Path], tmp_path: Path) -> Path:
    """A copy of the exported files, to be tampered with."""
    return shutil.copytree(made[1] / "files", tmp_path / "files")


def parity(spec: ExportSpec, files: Path, bounds: Bounds = EXACT) -> Parity:
    questions = questions_of(spec)
    exported = exported_answers(
        files, questions, base=spec.model_path if spec.adapter_only else None
    )
    return judge(compare(trained_answers(spec, questions), exported), bounds)


@pytest.mark.slow
def test_a_merged_export_is_the_trained_model(
    spec: ExportSpec, made: tuple[ExportResult, Path], tmp_path: Path
) -> None:
    result, folder = made
    assert result.parity.tokens_equal
    assert result.parity.stop_token_respected
    assert result.parity.kl_divergence < 1e-9
    assert result.parity.top1_agreement == 1.0
    assert (result.parity.job_rows, result.parity.first_difference) == (2, None)
    assert (result.dtype, result.bits_per_weight) == ("float32", 32.0)
    assert {each.name for each in result.files} == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert damage(folder / "files") is None
    assert result.compression_ratio == pytest.approx(1.0, abs=0.001)
    assert (folder / "progress").read_text() == "100\n"
    assert "Fine-tuned from tiny-model" in (folder / "files" / "README.md").read_text()
    for path in (folder / "files").iterdir():
        assert str(tmp_path.parent.parent).encode() not in path.read_bytes()
    base = load_base(spec.model_path, torch.float32).state_dict()
    exported = load_base(str(folder / "files"), torch.float32).state_dict()
    assert any(not torch.equal(base[name], exported[name]) for name in base)


def test_an_export_made_again_is_the_same_to_the_byte(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    safetensors.write(spec, again)
    for path in again.iterdir():
        assert path.read_bytes() == (files / path.name).read_bytes()


def test_a_model_is_divided_into_shards_of_the_size_asked_for(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    sharded = spec.model_copy(update={"shard_bytes": 1_000_000})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        safetensors.write(sharded, tmp_path / name)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    weights = {name for name in one if name.endswith(".safetensors")}
    assert "model.safetensors" not in weights
    assert len(weights) > 2
    assert max(len(one[name]) for name in weights) <= 1_000_000 + 2_000  # and a header
    place = str(Path(spec.model_path).parent).encode()
    assert not any(place in content for content in one.values())
    assert parity(sharded, tmp_path / "one").kl_divergence < 1e-9
    assert safetensors.stored(tmp_path / "one") == safetensors.stored(files)
    whole = load_base(str(files), torch.float32)
    divided = load_base(str(tmp_path / "one"), torch.float32)
    assert divided.get_output_embeddings().weight is divided.get_input_embeddings().weight
    kept = whole.state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in divided.state_dict().items())
    assert "<|im_start|>assistant" in told_by_its_readme(tmp_path / "one")


def test_a_hostile_name_stays_a_name(spec: ExportSpec, tmp_path: Path) -> None:
    name = 'a"); import os; ("\n---\n# phi-3 {usage}'
    alone = spec.model_copy(
        update={"adapter_only": True, "model_name": name, "base_name": 'x", "y'}
    )
    safetensors.write(alone, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert '\n# a"); import os; (" --- # phi-3 {usage}\n' in card
    assert '\nbase_model: "x\\", \\"y"\n' in card
    assert 'AutoModelForCausalLM.from_pretrained("x\\", \\"y")' in card


def test_tampered_weights_are_refused(spec: ExportSpec, files: Path) -> None:
    weights = load_file(files / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"] *= 3
    save_file(weights, files / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ParityFailed, match="the KL divergence is"):
        parity(spec, files)


def test_the_untrained_base_is_refused(spec: ExportSpec, files: Path) -> None:
    shutil.copyfile(Path(spec.model_path) / "model.safetensors", files / "model.safetensors")
    with pytest.raises(ParityFailed, match="the KL divergence is"):
        parity(spec, files)


def test_a_tampered_template_is_refused(spec: ExportSpec, files: Path) -> None:
    path = files / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|im_start|>", "<|start|>"))
    with pytest.raises(
        ParityFailed, match="template gives other texts; first, fixed text 1, from character 3 on"
    ):
        parity(spec, files)


def test_a_lost_stop_token_is_refused(spec: ExportSpec, files: Path) -> None:
    changes: dict[str, dict[str, object]] = {
        "generation_config.json": {"eos_token_id": 0},
        "config.json": {"eos_token_id": 0},
        "tokenizer_config.json": {"eos_token": "<|endoftext|>"},
    }
    for name, change in changes.items():
        path = files / name
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ParityFailed, match="does not stop"):
        parity(spec, files)


@pytest.mark.slow
def test_a_file_that_cannot_be_loaded_leaves_a_reason_and_no_files(
    spec: ExportSpec, tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other")
    (other / "model.safetensors").unlink()
    folder = tmp_path / "export"
    folder.mkdir()
    bad = spec.model_copy(update={"model_path": str(other)})
    (folder / "export.json").write_text(bad.model_dump_json())
    assert run.main([str(folder)]) == 0
    outcome = json.loads((folder / "result.json").read_bytes())
    assert outcome["error"]["code"] == "MODEL_UNREADABLE"
    assert not (folder / "files").exists()


def test_an_adapter_alone_is_exported_beside_its_base(spec: ExportSpec, tmp_path: Path) -> None:
    alone = spec.model_copy(update={"adapter_only": True, "base_name": "someone/tiny"})
    safetensors.write(alone, tmp_path)
    assert parity(alone, tmp_path).max_logit_difference == 0.0
    assert "someone/tiny" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.slow
def test_a_model_that_rounding_would_change_is_stored_in_full(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = in_halves(tiny_model, tmp_path)
    job = make_job(model=base)
    run_here(job)
    spec = ExportSpec(
        version_path=str(job / "model"), model_path=str(base), adapter=True, model_name="Half"
    )
    folder = tmp_path / "export"
    folder.mkdir()
    assert making.make(spec, folder).dtype == "bfloat16"
    monkeypatch.setitem(bounds._BOUNDS, "bfloat16", Bounds(1e-12, 1.0))
    result = making.make(spec, folder)
    assert result.dtype == "float32"
    assert result.parity.kl_divergence < 1e-9
    stored = load_file(folder / "files" / "model.safetensors")
    assert {each.dtype for each in stored.values()} == {torch.float32}


def in_halves(model: Path, folder: Path) -> Path:
    """A copy of a model whose weights are stored in bf16."""
    base = shutil.copytree(model, folder / "half")
    halve(base)
    return base


def test_whole_weights_are_stored_as_the_base_is(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    base = in_halves(tiny_model, tmp_path)
    job = make_job(model=base, training_type=TrainingType.FULL)
    run_here(job)
    spec = ExportSpec(
        version_path=str(job / "model"), model_path=str(base), adapter=False, model_name="Half"
    )
    folder = tmp_path / "export"
    folder.mkdir()
    safetensors.write(spec, folder)
    stored = load_file(folder / "model.safetensors")
    assert {each.dtype for each in stored.values()} == {torch.bfloat16}
    assert 0 < parity(spec, folder, ROUNDED).kl_divergence < 1e-2
    with pytest.raises(ParityFailed, match="the KL divergence is"):
        parity(spec, folder, Bounds(1e-12, 1.0))
