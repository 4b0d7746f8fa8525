"""What following a job looks like."""

import io
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from api.cli.watching import line, watch
from api.client.events import Event, parse
from schema.runs.training_events import EVENT_TYPES
from tests import factories

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).isoformat()
METRICS = {
    "epoch": 1,
    "trainingLoss": 2.5,
    "trainingAccuracy": 0.5,
    "validationLoss": 2.25,
    "validationAccuracy": 0.625,
    "durationSeconds": 61.0,
}
PREPARED = {
    "datasetRecords": 24,
    "sampledRecords": 24,
    "leakedRecords": 0,
    "stratifiedBy": None,
    "trainingRecords": 18,
    "validationRecords": 2,
    "droppedRecords": 1,
    "truncatedRecords": 3,
    "tokens": 1200,
    "trainedTokens": 300,
    "totalSteps": 24,
    "tokensReused": False,
}
MEASURED = {
    "progress": 12.5,
    "epoch": 1,
    "totalEpochs": 3,
    "step": 3,
    "totalSteps": 24,
    "loss": 2.25,
    "accuracy": 0.5,
    "learningRate": 2e-4,
    "gradientNorm": None,
    "tokensPerSecond": 1900.0,
    "estimatedTimeRemaining": 3661.0,
}
MEMORY = factories.MEMORY.model_dump(mode="json") | {"fits": False}
SAVED = {"name": "epoch-1", "epoch": 1, "step": 8, "validationLoss": 2.25, "sizeBytes": 5}
VERSION = {"id": "version_1", "version": "v1.0.0", "status": "READY"}
FAILURE = {"code": "DISK_FULL", "message": "The disk is full.", "remedy": "Make room."}

LINES: list[tuple[str, dict[str, Any], str]] = [
    (
        "StatusChanged",
        {"from": None, "to": "QUEUED", "reason": "submitted"},
        "status QUEUED: submitted",
    ),
    (
        "DataProgress",
        {"records": 12_000, "progress": 34.5},
        "tokenising: 12,000 records, 34 %",
    ),
    (
        "DataPrepared",
        PREPARED | {"droppedRecords": 0, "tokensReused": True},
        "data: 18 records to train, 2 held out, 300 of 1,200 tokens trained, 24 steps, "
        "3 records cut, tokenised before",
    ),
    (
        "DataPrepared",
        PREPARED,
        "data: 18 records to train, 2 held out, 300 of 1,200 tokens trained, 24 steps, "
        "3 records cut, 1 record dropped",
    ),
    (
        "DataPrepared",
        PREPARED | {"sampledRecords": 21, "leakedRecords": 2, "stratifiedBy": "answer"},
        "data: 18 records to train, 2 held out, 300 of 1,200 tokens trained, 24 steps, "
        "21 of 24 records taken, in shares of each answer, 2 on both sides left out, "
        "3 records cut, 1 record dropped",
    ),
    (
        "EngineChosen",
        {
            "path": "PACKED",
            "reason": "FUSED cannot compute it: its layers are of the type gpt2",
            "precision": "bfloat16",
            "device": "AVX512",
            "lanes": 1,
            "tokenBudget": 1024,
        },
        "engine: PACKED in bfloat16 on AVX512, up to 1,024 tokens at once in 1 lane "
        "(FUSED cannot compute it: its layers are of the type gpt2)",
    ),
    (
        "Resumed",
        {"checkpointName": "epoch-1", "epoch": 2, "step": 8},
        "resumed from epoch-1 (epoch 2, step 8)",
    ),
    (
        "MemoryEstimated",
        {"memory": MEMORY},
        "memory: 3.2 GB (weights 270.0 MB, gradients 20.0 MB, optimizer 40.0 MB, "
        "activations 900.0 MB, logits 1.5 GB, base 500.0 MB) of 2.0 GB: too little",
    ),
    ("TimeEstimated", {"seconds": 3661.2}, "time: about 1:01:01 in all"),
    (
        "ResourcesUsed",
        {"usage": {"peakMemoryBytes": 3_300_000_000, "seconds": 61.0}},
        "used: 3.3 GB of memory, 1:01",
    ),
    (
        "ProgressReported",
        MEASURED,
        "12.5% · epoch 1/3 · step 3/24 · loss 2.2500 · accuracy 50.0% · 1,900 tokens/s · "
        "1:01:01 left",
    ),
    (
        "EpochCompleted",
        {"metrics": METRICS},
        "epoch 1 done in 1:01: loss 2.5000, accuracy 50.0%, validation loss 2.2500, accuracy 62.5%",
    ),
    ("CheckpointSaved", SAVED | {"best": True}, "checkpoint epoch-1 (best so far)"),
    (
        "CheckpointSaved",
        SAVED | {"best": False, "requested": True},
        "checkpoint epoch-1 (asked for)",
    ),
    (
        "StartedFrom",
        {"source": "VERSION", "name": "v1.0.0"},
        "starts from version v1.0.0",
    ),
    ("WarningRaised", FAILURE, "warning DISK_FULL: The disk is full. → Make room."),
    (
        "StoppedEarly",
        {"epoch": 3, "bestEpoch": 1},
        "stopped early after epoch 3; the best was 1",
    ),
    (
        "SamplesGenerated",
        {"stage": "AFTER", "samples": [{"prompt": "1+1?", "answer": "2"}]},
        "1 sample prompts answered AFTER training",
    ),
    (
        "JobFinished",
        {"status": "COMPLETED", "error": None, "modelVersion": VERSION},
        "finished COMPLETED: version v1.0.0 (version_1)",
    ),
]


def event(number: int, name: str, data: dict[str, Any]) -> Event:
    return parse({"__typename": name, "seq": number, "at": AT, "attempt": 1, **data})


async def stream() -> AsyncGenerator[Event, None]:
    for number, (name, data, _) in enumerate(LINES, 1):
        yield event(number, name, data)


def test_every_kind_of_event_that_the_schema_has_is_known() -> None:
    assert {name for name, _, _ in LINES} == {each.__name__ for each in EVENT_TYPES}


@pytest.mark.parametrize(("name", "data", "said"), LINES)
def test_an_event_is_one_line(name: str, data: dict[str, Any], said: str) -> None:
    assert line(event(1, name, data)).partition(" ")[2] == said


def test_a_failure_is_told_with_its_remedy() -> None:
    failed = event(1, "JobFinished", {"status": "FAILED", "error": FAILURE, "modelVersion": None})
    assert line(failed).endswith("finished FAILED: DISK_FULL The disk is full. → Make room.")


async def test_a_terminal_shows_the_epochs_at_the_end_and_passes_every_event_on() -> None:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=120, color_system=None)
    seen = [each async for each in watch(stream(), console)]
    assert [each.seq for each in seen] == list(range(1, len(LINES) + 1))
    shown = sink.getvalue()
    assert "data: 18 records to train" in shown
    assert "validation loss" in shown.splitlines()[-2]
    assert shown.splitlines()[-1].split() == ["1", "2.5000", "50.0%", "2.2500", "62.5%", "1:01"]
