"""What a run's records would come to, told over the API as the run then finds it."""

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs.access import Viewer
from jobs.models import BaseModel, Dataset, TrainingJob
from jobs.runs.forecasts import Forecast
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client
from tests.factories import QA, make_dataset, make_model, make_viewer
from tests.ingesting import examine_tokens
from tests.tiny_model import make_tiny_model
from training.config import DataType, JobSpec, TrainingType, resolve
from training.data.choosing import settle_template
from training.data.doctor.examination import examine
from training.data.doctor.kept import keep
from training.data.records import canonical_line
from training.data.rendering import Renderer
from training.devices.world import WORLD_OF_ONE
from training.events import DataPrepared, Event
from training.files import sha256_of
from training.findings import merge
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.preview import counting
from training.preview.answering import Previewer
from training.preview.findings import row_findings
from training.preview.questions import (
    Kind,
    Lines,
    Preview,
    PreviewQuestion,
    RecordsAsked,
    RowsQuestion,
)
from training.run_rows import RunRows, run_rows
from training.steps.batches import Plan
from training.steps.schedule import rows_per_step

FINDING = "{ severity code path message suggestedPatch }"
VALIDATE = f"""query($input: RunPipelineInput!) {{ validateConfig(input: $input) {{
  valid errors {FINDING} warnings {FINDING} recommendations {FINDING}
  trainingRecords validationRecords steps tokensTrained
  recordsDropped {{ count reasons {{ code count lines validationDataset }} }} recordsDroppedUnknown
  tokenExaminations {{ id status }}
  preview {{ line text tokenCount trainedTokenCount tokens {{ id trained }} }} }} }}"""
RUN = f"""mutation($input: RunPipelineInput!) {{ runPipeline(input: $input) {{ __typename
  ... on InvalidProblem {{ findings {FINDING} }} }} }}"""
EXAMINE = """mutation($input: ExamineDatasetInput!) { examineDataset(input: $input) {
  ... on TokenExamination { id status progress } } }"""

LONG = {"question": "Why?", "answer": "a b " * 300}
LATE = {"question": "a b " * 300, "answer": "Yes."}
RECORDS = [*QA, LONG, LATE]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("counted") / "tiny")


@pytest.fixture
async def viewer(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def model(
    viewer: Viewer, source: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> BaseModel:
    """A model whose tokenizer the warm process has loaded. Other tests may keep that from answering."""
    monkeypatch.setattr("jobs.preview.dry_runs.WARM_SECONDS", 20.0)
    dataset = await make_dataset(viewer, service, records=QA[:1])
    question = PreviewQuestion(
        model_path=str(source),
        dataset_path=str(service.artifacts.records(dataset.id)),
        data_type=DataType.QA,
        after_line=0,
        count=1,
        max_sequence_length=8,
    )
    await service.previews.ask(Kind.PREVIEW, question, Preview)
    return await make_model(viewer, source=str(source))


def sent(model: BaseModel, dataset: Dataset, **options: Any) -> dict[str, Any]:
    named = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": ids.encode(ids.Kind.DATASET, dataset.id),
        "trainingType": "LORA",
    }
    return merge(named, options)


async def validated(client: Client, viewer: Viewer, asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = await (await client.as_viewer(viewer)).data(VALIDATE, input=asked)
    found: dict[str, Any] = answer["validateConfig"]
    return found


async def started(client: Client, viewer: Viewer, asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = await (await client.as_viewer(viewer)).data(RUN, input=asked)
    found: dict[str, Any] = answer["runPipeline"]
    return found


def codes(findings: list[dict[str, Any]]) -> list[str]:
    return [each["code"] for each in findings]


def finding(findings: list[dict[str, Any]], code: str) -> dict[str, Any]:
    return next(each for each in findings if each["code"] == code)


def as_the_run_prepares(
    source: Path, dataset: Dataset, service: Service, **choices: Any
) -> tuple[RunRows, DataPrepared]:
    """The rows of a real run, kept beside the records from then on."""
    config = resolve(TrainingType.LORA, choices)
    spec = JobSpec(
        config=config,
        model_path=str(source),
        dataset_path=str(service.artifacts.records(dataset.id)),
        dataset_sha256=dataset.sha256,
        data_type=DataType.QA,
    )
    tokenizer = load_tokenizer(str(source))
    stops = settle_template(
        tokenizer, config.chat_template, declared_stop_ids(str(source), tokenizer)
    )
    renderer = Renderer(
        tokenizer, DataType.QA, stop_token_ids=stops, max_length=config.max_sequence_length
    )
    said: list[Event] = []
    rows = run_rows(
        spec,
        renderer,
        service.settings.home,
        emit=said.append,
        should_stop=lambda: False,
        world=WORLD_OF_ONE,
    )
    assert rows is not None
    [prepared] = [each for each in said if isinstance(each, DataPrepared)]
    return rows, prepared


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_sequence_length": 200}, {"hyperparameters": {"maxSequenceLength": 200}}),
    (
        {"max_sequence_length": 200, "on_too_long": "DROP", "validation_split": 0.2},
        {
            "hyperparameters": {"maxSequenceLength": 200},
            "data": {"onTooLong": "DROP", "validationSplit": 0.2},
        },
    ),
    (
        {"max_sequence_length": 200, "max_steps": 7, "batch_size": 4, "max_samples": 15, "seed": 5},
        {
            "hyperparameters": {
                "maxSequenceLength": 200,
                "maxSteps": 7,
                "batchSize": 4,
                "seed": 5,
            },
            "data": {"maxSamples": 15},
        },
    ),
]


@pytest.mark.parametrize("kept", [False, True])
async def test_what_is_told_is_what_the_run_finds(
    client: Client, viewer: Viewer, model: BaseModel, source: Path, service: Service, kept: bool
) -> None:
    for choices, options in CASES:
        dataset = await make_dataset(viewer, service, records=RECORDS)
        if kept:
            as_the_run_prepares(source, dataset, service, **choices)
        found = await validated(client, viewer, sent(model, dataset, **options))
        assert (service.artifacts.dataset(dataset.id) / "tokens").is_dir() is kept
        rows, prepared = as_the_run_prepares(source, dataset, service, **choices)

        assert (found["valid"], found["recordsDroppedUnknown"]) == (True, None)
        assert found["recordsDropped"]["count"] == prepared.dropped_records
        assert found["trainingRecords"] == prepared.training_records
        assert found["validationRecords"] == prepared.validation_records
        assert found["steps"] == prepared.total_steps
        config = resolve(TrainingType.LORA, choices)
        plan = Plan(len(rows.training), rows_per_step(config), config.shuffle, config.seed)
        steps = [step for epoch in range(config.epochs) for step in plan.steps(epoch)]
        seen = [index for step in steps[: prepared.total_steps] for index in step]
        assert found["tokensTrained"] == sum(rows.training[each].trained_tokens for each in seen)
        assert [each["line"] for each in found["preview"]] == [1, 2]


async def test_every_dropped_record_has_a_reason_and_its_line(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service, records=RECORDS)
    length = {"hyperparameters": {"maxSequenceLength": 200}}
    cut = await validated(client, viewer, sent(model, dataset, **length))
    assert cut["recordsDropped"] == {
        "count": 1,
        "reasons": [
            {
                "code": "NOTHING_TO_LEARN",
                "count": 1,
                "lines": [22],
                "validationDataset": False,
            }
        ],
    }
    assert "line 22" in finding(cut["warnings"], "RECORDS_DROPPED")["message"]
    assert "line 21" in finding(cut["warnings"], "RECORDS_TRUNCATED")["message"]

    data = {"data": {"onTooLong": "DROP", "validationSplit": 0.0}}
    dropped = await validated(client, viewer, sent(model, dataset, **length, **data))
    assert [
        (each["code"], each["count"], each["lines"])
        for each in dropped["recordsDropped"]["reasons"]
    ] == [("TOO_LONG", 2, [21, 22])]
    assert (dropped["trainingRecords"], dropped["validationRecords"]) == (20, 0)
    warned = finding(dropped["warnings"], "RECORDS_TOO_LONG")
    assert (warned["path"], warned["suggestedPatch"]) == (
        ["hyperparameters", "maxSequenceLength"],
        None,
    )


async def test_rows_that_the_run_would_end_for_are_refused_by_both_and_cut_by_the_patch(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service, records=RECORDS)
    asked = sent(
        model,
        dataset,
        hyperparameters={"maxSequenceLength": 200, "loraRank": 0},
        data={"onTooLong": "ERROR"},
    )
    found = await validated(client, viewer, asked)
    assert not found["valid"]
    error = finding(found["errors"], "RECORDS_EXCEED_LENGTH")
    assert (error["path"], error["suggestedPatch"]) == (
        ["data", "onTooLong"],
        {"data": {"onTooLong": "TRUNCATE"}},
    )
    assert "lines 21, 22" in error["message"]
    refused = await started(client, viewer, asked)
    assert refused["__typename"] == "InvalidProblem"
    assert refused["findings"] == [
        *found["errors"],
        *found["warnings"],
        *found["recommendations"],
    ]
    assert await TrainingJob.all().count() == 0
    for patch in [each["suggestedPatch"] for each in found["errors"]]:
        asked = merge(asked, patch)
    cured = await validated(client, viewer, asked)
    assert (cured["valid"], cured["errors"]) == (True, [])
    assert (await started(client, viewer, asked))["__typename"] == "TrainingJob"


TROUBLE = "{{% for message in messages %}}{body}{{% endfor %}}"
TEMPLATES: list[tuple[str, str, str]] = [
    (
        "CHAT_TEMPLATE_FAILED",
        TROUBLE.format(
            body="{% if message['content'] == 'What is 7 and 7?' %}{{ raise_exception('No sevens') }}"
            "{% endif %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        ),
        "record 8",
    ),
    (
        "STOP_TOKEN_NOT_TRAINED",
        TROUBLE.format(body="{{ message['role'] }}: {{ message['content'] }}\n"),
        "record 1",
    ),
]


async def test_a_template_that_the_run_would_fail_over_is_refused_by_both(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    for code, template, where in TEMPLATES:
        asked = sent(model, dataset, chatTemplate=template)
        found = await validated(client, viewer, asked)
        assert codes(found["errors"]) == [code]
        assert where in found["errors"][0]["message"]
        assert found["errors"][0]["path"] == ["chatTemplate"]
        assert found["recordsDropped"] is None
        assert (await started(client, viewer, asked))["__typename"] == "InvalidProblem"
        assert await TrainingJob.all().count() == 0


async def test_a_run_that_would_have_nothing_to_train_on_is_refused(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service, records=[LATE, LATE])
    asked = sent(model, dataset, hyperparameters={"maxSequenceLength": 200})
    found = await validated(client, viewer, asked)
    assert codes(found["errors"]) == ["NOTHING_TO_TRAIN"]
    assert found["recordsDropped"]["count"] == 2
    assert (await started(client, viewer, asked))["__typename"] == "InvalidProblem"


async def test_early_stopping_among_duplicates_is_refused_and_never_suggested(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service, records=[QA[0]] * 300)
    asked = sent(model, dataset, hyperparameters={"epochs": 12}, earlyStopping={"enabled": True})
    found = await validated(client, viewer, asked)
    assert codes(found["errors"]) == ["NO_VALIDATION_RECORDS"]
    off = {"earlyStopping": {"enabled": False}}
    assert found["errors"][0]["suggestedPatch"] == off
    found = await validated(client, viewer, merge(asked, off))
    assert (found["valid"], found["validationRecords"]) == (True, 0)
    assert finding(found["recommendations"], "OVERFITTING_LIKELY")["suggestedPatch"] is None


async def test_a_dataset_to_test_with_is_counted_beside_the_other(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    tested = await make_dataset(viewer, service, records=[*QA[:3], LATE, *QA[:1]])
    asked = sent(
        model,
        dataset,
        hyperparameters={"maxSequenceLength": 200},
        data={"validationDatasetId": ids.encode(ids.Kind.DATASET, tested.id)},
    )
    found = await validated(client, viewer, asked)
    assert (found["trainingRecords"], found["validationRecords"]) == (17, 4)
    assert [
        (each["lines"], each["validationDataset"]) for each in found["recordsDropped"]["reasons"]
    ] == [([4], True)]
    path = finding(found["warnings"], "RECORDS_DROPPED")["path"]
    assert path == ["data", "validationDatasetId"]
    leak = finding(found["warnings"], "VALIDATION_LEAK")
    assert "lines 1, 2, 3" in leak["message"]
    assert leak["path"] == ["data", "dropLeaksFrom"]


async def test_near_leaks_are_those_of_the_sides_that_were_counted(
    client: Client, viewer: Viewer, model: BaseModel, source: Path, service: Service
) -> None:
    asked = ["".join(random.Random(n).choices("abcdefghijk  ", k=80)) for n in range(10)]
    records = [LATE, *({"question": each, "answer": "Yes."} for each in asked)]
    records += [{"question": each.upper(), "answer": "Yes!"} for each in asked]
    dataset = await make_dataset(viewer, service, records=records)
    folder = service.artifacts.examination(dataset.id)
    folder.mkdir(parents=True)
    keep(examine(DataType.QA, enumerate(records, 1)), folder)
    options = {"hyperparameters": {"maxSequenceLength": 200}, "data": {"validationSplit": 0.3}}
    found = await validated(client, viewer, sent(model, dataset, **options))
    choices = {"max_sequence_length": 200, "validation_split": 0.3}
    rows, _ = as_the_run_prepares(source, dataset, service, **choices)
    training, validation = ([row.line for row in side] for side in rows)
    partners = {line: line + 10 if line < 12 else line - 10 for line in validation}
    leaked = [line for line in validation if partners[line] in training]
    named = ", ".join(f"{line} (line {partners[line]})" for line in leaked)
    told = finding(found["warnings"], "VALIDATION_NEAR_LEAK")
    assert told["path"] == ["data", "validationSplit"]
    assert len(leaked) > 1
    assert told["message"] == (
        f"{len(leaked)} records that are held out are nearly equal to records that are trained on: "
        f"lines {named}."
    )


async def test_a_large_dataset_is_told_of_once_a_worker_has_counted_it(
    client: Client, viewer: Viewer, model: BaseModel, source: Path, service: Service
) -> None:
    size = counting.RENDERED_BYTES // 2000 + 1
    records = [{"question": f"Q{n}", "answer": "word " * 400} for n in range(size)]
    dataset = await make_dataset(viewer, service, records=records)
    asked = sent(model, dataset, hyperparameters={"maxSequenceLength": 200})
    found = await validated(client, viewer, asked)
    assert (found["valid"], found["recordsDropped"]) == (True, None)
    assert "Ask for it with examineDataset" in found["recordsDroppedUnknown"]
    assert [each["line"] for each in found["preview"]] == [1, 2]
    wanted = {"datasetId": asked["datasetId"], "modelId": asked["modelId"]}
    owner = await client.as_viewer(viewer)
    answer = await owner.data(EXAMINE, input=wanted | {"maxSequenceLength": 200})
    examination = answer["examineDataset"]
    assert (examination["status"], examination["progress"]) == ("QUEUED", 0.0)
    waiting = await validated(client, viewer, asked)
    assert "being counted by a worker" in waiting["recordsDroppedUnknown"]
    assert waiting["tokenExaminations"] == [{"id": examination["id"], "status": "QUEUED"}]
    row = await examine_tokens(service, ids.decode(ids.Kind.EXAMINATION, examination["id"]))
    assert (row.status, row.progress) == (TaskStatus.READY, 100.0)
    began = time.monotonic()
    told = await validated(client, viewer, asked)
    assert time.monotonic() - began < 0.5
    assert told["tokenExaminations"] == [{"id": examination["id"], "status": "READY"}]
    assert codes(told["warnings"]).count("ANSWER_CUT") == 1
    assert "TOO_LONG" not in codes(told["warnings"])  # told by what is truncated
    _, prepared = as_the_run_prepares(source, dataset, service, max_sequence_length=200)
    assert prepared.tokens_reused
    assert told["recordsDropped"]["count"] == prepared.dropped_records == 0
    cut = finding(told["warnings"], "RECORDS_TRUNCATED")["message"]
    assert cut.startswith(f"{size} records")
    assert f"and {size - 20} more" in cut


def test_of_very_many_rows_the_dropped_are_counted_and_the_sides_foreseen(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "DIVIDED_ROWS", 19)
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(canonical_line(each) for each in RECORDS))
    asked = RowsQuestion(
        model_path=str(source),
        data_type=DataType.QA,
        data=RecordsAsked(
            path=str(path),
            sha256=sha256_of(path),
            records=len(RECORDS),
            examination=str(tmp_path),
        ),
        config=resolve(TrainingType.LORA, {"max_sequence_length": 200}),
        shown=0,
    )
    rows = Previewer().rows(asked).rows
    assert rows is not None
    assert (rows.lost.without_loss, rows.sides) == (Lines(count=1, first=(22,)), None)
    foreseen = Forecast(training_records=20, steps=9, tokens_trained=100)
    assert foreseen.counted(rows) == foreseen
    assert next(iter(row_findings(rows, asked.config))).code == "RECORDS_DROPPED"


async def test_what_is_not_known_here_refuses_nothing(
    client: Client, viewer: Viewer, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    elsewhere = await make_model(viewer)
    asked = sent(elsewhere, dataset)
    found = await validated(client, viewer, asked)
    assert (found["valid"], found["recordsDropped"], found["preview"]) == (True, None, None)
    assert "not on the API's machine" in found["recordsDroppedUnknown"]
    assert service.previews.pid is None
    assert (await started(client, viewer, asked))["__typename"] == "TrainingJob"


async def test_a_process_that_does_not_answer_in_time_refuses_nothing(
    client: Client,
    viewer: Viewer,
    source: Path,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.preview.dry_runs.STARTING_SECONDS", 0.01)
    dataset = await make_dataset(viewer, service)
    asked = sent(await make_model(viewer, source=str(source)), dataset)
    found = await validated(client, viewer, asked)
    assert (found["valid"], found["recordsDropped"], found["preview"]) == (True, None, None)
    assert "in a moment" in found["recordsDroppedUnknown"]
    while found["recordsDropped"] is None:  # its process goes on, and is not started again
        found = await validated(client, viewer, asked)
    assert found["recordsDropped"] == {"count": 0, "reasons": []}
