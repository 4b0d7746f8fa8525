"""What each method trained is what its export says, by whichever base it was trained beside."""

from pathlib import Path

import pytest
import torch

from tests.tiny_model import make_architecture
from tests.training.jobs import qa_rows, run_here, spec_of, write_job
from tests.training.watched import Watched
from training.config import TrainingType
from training.export import making, safetensors
from training.export.answers import answers, exported_answers
from training.export.parity import EXACT, compare, judge, questions_of, trained_answers
from training.export.spec import ExportSpec, Parity

VARIANTS = {
    "qlora-qwen2": ("qwen2", TrainingType.QLORA, {}),
    "qlora-gpt2": ("gpt2", TrainingType.QLORA, {}),
    "qlora-mixtral": ("mixtral", TrainingType.QLORA, {}),
    "qlora-dora": ("llama", TrainingType.QLORA, {"dora": True}),
    "dora": ("llama", TrainingType.LORA, {"dora": True}),
    "dora-gpt2": ("gpt2", TrainingType.LORA, {"dora": True}),
    "rs-lora": ("llama", TrainingType.LORA, {"rs_lora": True}),
    "gaussian": ("llama", TrainingType.LORA, {"lora_initialisation": "GAUSSIAN"}),
    "freeze": ("gemma2", TrainingType.FREEZE, {"train_embeddings": True}),
}


def trained(folder: Path, variant: str) -> ExportSpec:
    architecture, method, options = VARIANTS[variant]
    base = make_architecture(folder / "base", architecture)
    job = write_job(
        folder / "job",
        base,
        qa_rows(12),
        training_type=method,
        learning_rate=2e-2,
        epochs=4,
        **options,
    )
    run_here(job)
    config = spec_of(job).config
    return ExportSpec(
        version_path=str(job / "model"),
        model_path=str(base),
        adapter=config.adapts,
        quantised=config.quantised,
        model_name="Tuned",
    )


@pytest.fixture(scope="module", params=["qlora-qwen2", "qlora-gpt2"])
def quantised(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ExportSpec:
    return trained(tmp_path_factory.mktemp("quantised"), request.param)


def parity(spec: ExportSpec, files: Path) -> Parity:
    exported = exported_answers(
        files,
        questions_of(spec),
        base=spec.model_path if spec.adapter_only else None,
        quantised=spec.quantised,
    )
    return compare(trained_answers(spec, questions_of(spec)), exported)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_export_is_the_trained_model(tmp_path: Path, watched: Watched, variant: str) -> None:
    spec = trained(tmp_path, variant)
    files = tmp_path / "files"
    files.mkdir()
    safetensors.write(spec, files)
    found = judge(parity(spec, files), EXACT)
    assert found.kl_divergence < 1e-12
    assert found.max_logit_difference < 1e-4
    questions = questions_of(spec)
    exported = trained_answers(spec, questions)
    with torch.autocast("cpu", torch.bfloat16, enabled=watched.prepared.hardware.bfloat16):
        in_memory = answers(watched.model, watched.prepared.tokenizer, questions, stops=frozenset())
    untrained = spec.model_copy(update={"version_path": spec.model_path, "adapter": False})
    learned = compare(exported, trained_answers(untrained, questions)).kl_divergence
    assert learned > 1e-2
    assert compare(in_memory, exported).kl_divergence < learned / 30  # bf16 against fp32


def test_an_adapter_is_not_merged_into_the_base_before_its_quantisation(
    quantised: ExportSpec, tmp_path: Path
) -> None:
    original = {"quantised": False, "merged_into_original": True}
    chosen = quantised.model_copy(update=original)
    safetensors.write(chosen, tmp_path)
    exact_at_most = 1e-4
    assert parity(quantised, tmp_path).max_logit_difference > 10 * exact_at_most
    assert judge(parity(chosen, tmp_path), EXACT).kl_divergence < 1e-12
    card = " ".join((tmp_path / "README.md").read_text().split())
    assert "this is not the model that was trained." in card


@pytest.mark.parametrize("quantised", ["qlora-qwen2"], indirect=True)
def test_a_quantised_adapter_alone_is_exported_beside_its_base_in_four_bits(
    quantised: ExportSpec, tmp_path: Path
) -> None:
    alone = quantised.model_copy(update={"adapter_only": True, "base_name": "someone/tiny"})
    files = tmp_path / "files"
    files.mkdir()
    safetensors.write(alone, files)
    assert parity(alone, files).max_logit_difference == 0.0
    assert 'bnb_4bit_quant_type="nf4"' in (files / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("quantised", ["qlora-qwen2"], indirect=True)
@pytest.mark.parametrize("adapter_only", [False, True])
def test_a_qlora_version_is_exported_by_a_process_that_knows_its_files_alone(
    quantised: ExportSpec, tmp_path: Path, adapter_only: bool
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    result = making.make(quantised.model_copy(update={"adapter_only": adapter_only}), folder)
    assert result.parity.tokens_equal
    assert result.parity.kl_divergence < 1e-12
    assert result.dtype == "float32"
    names = {each.name for each in result.files}
    weights = "adapter_model.safetensors" if adapter_only else "model.safetensors"
    assert {name for name in names if name.endswith(".safetensors")} == {weights}
    if not adapter_only:
        assert "quantization_config" not in (folder / "files" / "config.json").read_text()
