"""One template, from the first record of a run to the files of an export."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

from tests.tiny_model import make_tiny_model
from tests.training.jobs import qa_rows, read_events, run_here, write_job
from training.config import TrainingType, TrainOn
from training.errors import TrainingError
from training.events import Outcome, SamplesGenerated
from training.export import making, safetensors
from training.export.spec import ExportSpec
from training.models.architecture import facts
from training.models.base_models import (
    load_base,
    load_tokenizer,
    stop_at,
    stop_token_ids,
    take_generation_config,
)
from training.models.tokenizers import declared_stop_ids
from training.templates.named import NamedTemplate, text_of

END_OF_TEXT, END_OF_TURN = 0, 2


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model as they are: without a template, and ending texts with a token of its own."""
    folder = make_tiny_model(tmp_path_factory.mktemp("plain") / "base", chat_template=None)
    for name, option, value in (
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
        ("generation_config.json", "eos_token_id", END_OF_TEXT),
        ("config.json", "eos_token_id", END_OF_TEXT),
    ):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {option: value}))
    return folder


def test_a_base_models_facts_name_its_stop_tokens_and_the_templates_it_can_write(
    plain_model: Path, tiny_model: Path
) -> None:
    found = facts(str(plain_model))
    assert (found.has_chat_template, found.stop_tokens) == (False, ("<|endoftext|>",))
    end_token = (NamedTemplate.MISTRAL, NamedTemplate.ZEPHYR, NamedTemplate.ALPACA)
    assert found.chat_templates == (NamedTemplate.CHATML, *end_token)
    assert facts(str(tiny_model)).stop_tokens == ("<|im_end|>",)


@pytest.mark.parametrize("declared", [2, [0, 2], [2, 1, 0], None])
def test_the_stop_tokens_of_a_folder_are_those_of_the_loaded_model(
    plain_model: Path, tmp_path: Path, declared: object
) -> None:

    folder = shutil.copytree(plain_model, tmp_path / "model")
    path = folder / "generation_config.json"
    for given in ({"eos_token_id": declared}, None):
        if given is None:
            path.unlink()
        else:
            path.write_text(json.dumps(given))
        tokenizer = load_tokenizer(str(folder))
        model = load_base(str(folder), torch.float32)
        assert declared_stop_ids(str(folder), tokenizer) == stop_token_ids(model, tokenizer)


@pytest.mark.slow
def test_a_chosen_template_is_what_is_trained_answered_with_and_exported(
    plain_model: Path, tmp_path: Path
) -> None:
    job = write_job(
        tmp_path / "job",
        plain_model,
        [{"question": "What is it?", "answer": "Yes."}] * 12,
        chat_template="CHATML",
        learning_rate=5e-3,
        epochs=20,
        validation_split=0.0,
        sample_prompts=["What is it?"],
    )
    assert run_here(job).outcome is Outcome.COMPLETED
    after = [each for each in read_events(job) if isinstance(each, SamplesGenerated)][-1]
    assert after.samples[0].answer == "Yes."  # and nothing after it: it stops
    spec = ExportSpec(
        version_path=str(job / "model"),
        model_path=str(plain_model),
        adapter=True,
        model_name="Mine",
    )
    merged, alone = tmp_path / "merged", tmp_path / "alone"
    merged.mkdir()
    assert making.make(spec, merged).parity.stop_token_respected
    alone.mkdir()
    safetensors.write(spec.model_copy(update={"adapter_only": True}), alone)
    for folder in (job / "model", merged / "files", alone):
        assert load_tokenizer(str(folder)).chat_template == text_of(NamedTemplate.CHATML)
        assert GenerationConfig.from_pretrained(folder).eos_token_id == [END_OF_TEXT, END_OF_TURN]
    stopping = "model.generation_config = GenerationConfig.from_pretrained(folder)"
    assert stopping in (alone / "README.md").read_text()
    assert stopping not in (merged / "files" / "README.md").read_text()


def test_a_version_from_before_there_was_a_generation_config_is_exported_as_its_base(
    plain_model: Path, tmp_path: Path
) -> None:
    model = load_base(str(plain_model), torch.float32)
    stop_at(model, frozenset({1}))
    take_generation_config(model, tmp_path)
    assert model.generation_config is not None
    assert model.generation_config.eos_token_id == [END_OF_TEXT, 1]
    take_generation_config(model, plain_model)
    assert model.generation_config.eos_token_id == END_OF_TEXT


@pytest.mark.slow
def test_a_template_of_ones_own_is_kept_with_the_version(plain_model: Path, tmp_path: Path) -> None:
    own = (
        "{% for message in messages %}{{ message.role + ': ' + message.content + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    job = write_job(
        tmp_path / "job",
        plain_model,
        qa_rows(12),
        chat_template=own,
        train_on=TrainOn.LAST_ASSISTANT,
        training_type=TrainingType.FULL,
        epochs=1,
    )
    assert run_here(job).outcome is Outcome.COMPLETED
    assert AutoTokenizer.from_pretrained(job / "model").chat_template == own
    assert GenerationConfig.from_pretrained(job / "model").eos_token_id == [0, 2]


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (None, "NO_CHAT_TEMPLATE"),
        ("LLAMA_3", "END_OF_TURN_SPLIT"),
        ("{% for %}", "CHAT_TEMPLATE_UNUSABLE"),
        ("{{ messages[5].content }}", "CHAT_TEMPLATE_FAILED"),
        ("{{ messages[0].content }}", "CHAT_TEMPLATE_UNUSABLE"),
        ("{{ messages[-1].content }}", "TEMPLATE_NOT_PREFIX_STABLE"),
    ],
)
def test_a_template_that_cannot_be_trained_ends_the_run_by_name(
    plain_model: Path, tmp_path: Path, template: str | None, code: str
) -> None:

    job = write_job(tmp_path / "job", plain_model, qa_rows(12), chat_template=template)
    with pytest.raises(TrainingError) as failed:
        run_here(job)
    assert failed.value.code == code
    assert not (job / "model").exists()
