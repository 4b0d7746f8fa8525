"""Rows of the job's own data, to be asked beside the fixed texts."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from training.config import DataType, JobSpec
from training.data.records import Record
from training.data.rendering import Renderer, messages_of
from training.data.token_cache import RecordFile, records_at
from training.devices.world import WORLD_OF_ONE
from training.errors import TrainingError
from training.export.questions import Question
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.run_rows import run_rows

__all__ = ["ROWS", "job_rows"]

ROWS: Final = 8


def job_rows(job_path: Path, version_path: str) -> list[Question]:
    """The first rows that the run held out, or trained on where it held out none; none where its
    dataset is gone or no longer what it was."""
    try:
        spec = JobSpec.model_validate_json((job_path / "job.json").read_bytes())
        return list(_rows(spec, job_path, version_path))
    except (OSError, ValidationError, TrainingError):
        return []


def _rows(spec: JobSpec, job_path: Path, version_path: str) -> Sequence[Question]:
    tokenizer = load_tokenizer(version_path)
    renderer = Renderer(
        tokenizer,
        spec.data_type,
        stop_token_ids=declared_stop_ids(version_path, tokenizer),
        max_length=spec.config.max_sequence_length,
        train_on=spec.config.train_on,
    )
    rows = run_rows(
        spec,
        renderer,
        job_path,
        emit=lambda _event: None,
        should_stop=lambda: False,
        world=WORLD_OF_ONE,
    )
    if rows is None:
        return []
    held_out = len(rows.validation) > 0
    chosen = rows.validation if held_out else rows.training
    of_its_own = held_out and spec.validation_path is not None
    path = spec.validation_path if of_its_own and spec.validation_path else spec.dataset_path
    lines = np.sort(chosen.lines[:ROWS])
    records = records_at(RecordFile(Path(path), spec.data_type), lines)
    return [
        _question(record, spec.data_type, line=int(line))
        for line, record in zip(lines, islice(records, ROWS), strict=True)
    ]


def _question(record: Record, data_type: DataType, *, line: int) -> Question:
    name = f"record {line} of the job's data"
    match data_type:
        case DataType.CHAT | DataType.QA:
            tools = record.get("tools")
            return Question(
                name=name,
                messages=tuple(_shown(message) for message in messages_of(record)),
                tools=tools if isinstance(tools, list) else None,
            )
        case DataType.COMPLETION:
            return Question(name=name, text=f"{record['prompt']}{record['completion']}")
        case DataType.TEXT:
            return Question(name=name, text=str(record["text"]))
        case DataType.CODE:
            return Question(name=name, text=str(record["code"]))


def _shown(message: dict[str, object]) -> dict[str, object]:
    """The message as a template takes it."""
    return {"content": ""} | {key: value for key, value in message.items() if key != "weight"}
