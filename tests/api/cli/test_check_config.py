"""Checking a run's configuration without a server."""

import json
from pathlib import Path

import pytest

from api.cli.assignments import with_assignments
from api.cli.configs import read_options
from api.client.runs import Hyperparameters, RunOptions
from tests.api.cli.shell import Shell
from training.config import LoraInitialisation, Optimizer, TrainingType

GOOD = """
trainingType = "FULL"
samplePrompts = ["Who are you?"]
[hyperparameters]
epochs = 2
learningRate = 2e-5
[data]
validationSplit = 0.2
[earlyStopping]
patience = 2
"""


async def test_a_good_file_can_run(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(GOOD)
    ran = await shell.run("check-config", str(file), "--records", "500")
    assert ran.code == 0, ran.out
    assert ran.out.startswith(f"{file} can run: ")


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(GOOD)
    options = read_options(toml)
    as_json = tmp_path / "run.json"
    as_json.write_text(json.dumps(options.as_input()))
    assert read_options(as_json) == options
    assert options.training_type is TrainingType.FULL
    assert options.hyperparameters.learning_rate == 2e-5
    assert options.early_stopping is not None
    assert options.early_stopping.enabled is True


def test_the_options_of_a_method_can_be_set_one_by_one() -> None:
    assignments = [
        *("optimizer=PAGED_ADAMW_8BIT", "rsLora=true", "dora=false"),
        *("lora_initialisation=GAUSSIAN", "trainableLayers=4", "trainEmbeddings=true"),
    ]
    options = with_assignments(RunOptions(), assignments).hyperparameters
    assert options == Hyperparameters(
        optimizer=Optimizer.PAGED_ADAMW_8BIT,
        rs_lora=True,
        dora=False,
        lora_initialisation=LoraInitialisation.GAUSSIAN,
        trainable_layers=4,
        train_embeddings=True,
    )


async def test_every_error_is_found_at_once(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[hyperparameters]\nlearningRate = -1.0\nloraRank = 0\nepochs = 1000000000\n")
    ran = await shell.run("check-config", str(file), "--json")
    assert ran.code == 1
    answer = json.loads(ran.out)
    assert answer["valid"] is False
    errors = {each["path"][-1] for each in answer["findings"] if each["severity"] == "ERROR"}
    assert errors == {"learningRate", "loraRank", "epochs"}


async def test_the_records_are_counted_and_bad_ones_named(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("[earlyStopping]\n")
    data = tmp_path / "data.jsonl"
    data.write_text('{"question": "a", "answer": "b"}\n\n{"question": "a"}\n')
    ran = await shell.run("check-config", str(config), "--data", str(data), "--type", "QA")
    assert ran.code == 1
    assert "for 1 record." in ran.out
    assert "NO_VALIDATION_RECORDS" in ran.out
    assert f"{data}, line 3: The field answer is missing." in ran.err


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run.toml", "epochs = ", "is no TOML"),
        ("run.json", "{", "is no JSON"),
        ("run.json", "[]", "is no run configuration"),
        ("run.toml", "epochs = 3", "epochs: there is no such option"),
        ("run.toml", "[hyperparameters]\nepochs = 'x'", "hyperparameters.epochs: Input should be"),
    ],
)
async def test_a_file_that_cannot_be_understood_is_told_by_place(
    shell: Shell, tmp_path: Path, name: str, content: str, told: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    ran = await shell.run("check-config", str(file))
    assert ran.code == 1
    assert told in ran.err
    assert "Traceback" not in ran.err
