"""Datasets derived by what was found in the tokens of others."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobs.access import Viewer
from jobs.data import derivation
from jobs.data.derivation import DerivationDraft
from jobs.data.strategies import Choice, chosen
from jobs.errors import InvalidInput, NotFound
from jobs.models import BaseModel, Dataset, DatasetVersion, Derivation, TokenExamination
from jobs.preview import examining
from jobs.preview.examining import ExaminationRequest
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import QA, make_dataset, make_model, make_viewer
from tests.ingesting import ingest
from tests.tiny_model import make_tiny_model
from training.config import TrainOn
from training.data.derivation import Cause, Changes, ExaminedTokens, LineRange, Removal
from training.data.doctor.checks import ROW_CODES, Code, Strategy
from training.data.doctor.spec import KEPT, TokenExaminationSpec
from training.data.doctor.token_examination import examine_tokens, renderer_of

LONG = {"question": "Why?", "answer": "Because " * 60}
HOSTILE = {"question": "Say <|im_end|>", "answer": "No."}
BOTH = {"question": "Why <|im_end|>?", "answer": "Write to ada@example.org. " * 30}
SAID = {"question": "Who knows?", "answer": "Ask ada@example.org."}
RECORDS = [LONG, *QA, HOSTILE, BOTH, SAID, LONG]
DROP, ERROR = Strategy.DROP, Strategy.ERROR
NEW = [{"question": "Who?", "answer": "You."}]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # opens the database
    return await make_viewer()


@pytest.fixture
async def parent(viewer: Viewer, service: Service) -> Dataset:
    return await make_dataset(viewer, service, records=RECORDS)


@pytest.fixture
async def model(viewer: Viewer, tiny_model: Path) -> BaseModel:
    return await make_model(viewer, source=str(tiny_model), name="tiny")


async def asked(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel, length: int = 64
) -> TokenExamination:
    request = ExaminationRequest(dataset.id, model.id, {"max_sequence_length": length})
    row = await examining.examine(viewer, request, artifacts=service.artifacts, queue=service.queue)
    assert isinstance(row, TokenExamination)
    return row


async def examined(
    viewer: Viewer, service: Service, dataset: Dataset, model: BaseModel, length: int = 64
) -> TokenExamination:
    """A look at a dataset's tokens as a worker's child takes it."""
    row = await asked(viewer, service, dataset, model, length)
    assert dataset.data_type is not None
    assert dataset.sha256 is not None
    spec = TokenExaminationSpec(
        path=str(service.artifacts.records(dataset.id)),
        data_type=dataset.data_type,
        sha256=dataset.sha256,
        model_path=model.source,
        chat_template=None,
        train_on=TrainOn.ASSISTANT,
        max_sequence_length=length,
    )
    folder = service.artifacts.token_examination(row.id)
    folder.mkdir(parents=True)
    report = examine_tokens(spec, renderer_of(spec), folder, advanced=lambda _: None)
    columns = {"status": TaskStatus.READY, "report": report.model_dump(mode="json")}
    await TokenExamination.filter(id=row.id).update(**columns)
    return await TokenExamination.get(id=row.id)


async def ask(viewer: Viewer, service: Service, parent: Dataset, **wanted: Any) -> Dataset:
    draft = DerivationDraft(parent.id, **wanted)
    return await derivation.derive(viewer, draft, settings=service.settings, queue=service.queue)


def records(service: Service, dataset: Dataset) -> list[Any]:
    path = service.artifacts.records(dataset.id)
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_records_go_for_what_was_found_in_their_tokens_and_the_version_says_in_which(
    viewer: Viewer, service: Service, parent: Dataset, model: BaseModel
) -> None:
    look = await examined(viewer, service, parent, model)
    choices = [
        Choice(Code.TOO_LONG, DROP),
        Choice(Code.CONTENT_AS_CONTROL_TOKENS, DROP),
        Choice(Code.EMAIL_ADDRESS, DROP),
        Choice(Code.NO_TRAINED_TOKEN, ERROR),
    ]
    wanted = {"strategies": choices, "token_examination_id": look.id}
    begun = await ask(viewer, service, parent, remove=[LineRange(25, 25)], **wanted)
    child = await ingest(service, begun.id)
    assert child.status is TaskStatus.READY, child.error
    assert records(service, child) == QA
    found = Changes.model_validate((await DatasetVersion.get(dataset_id=child.id)).changes)
    assert found.removals == (
        Removal(cause=Cause.LINES, count=1, lines=(25,)),
        Removal(cause=Cause.FINDING, finding=Code.EMAIL_ADDRESS, count=2, lines=(23, 24)),
        Removal(cause=Cause.FINDING, finding=Code.TOO_LONG, count=1, lines=(1,)),
        Removal(cause=Cause.FINDING, finding=Code.CONTENT_AS_CONTROL_TOKENS, count=1, lines=(22,)),
    )
    assert found.examined_tokens == ExaminedTokens(
        key=str(look.id),
        model="tiny",
        chat_template=None,
        train_on=TrainOn.ASSISTANT,
        max_sequence_length=64,
    )


async def test_what_all_records_have_is_not_dropped_and_what_is_an_error_is_refused(
    viewer: Viewer, service: Service, parent: Dataset, model: BaseModel
) -> None:
    short = await examined(viewer, service, parent, model, length=16)
    usual = await examined(viewer, service, parent, model)
    other = await make_dataset(viewer, service)
    waiting = await asked(viewer, service, parent, model, length=99)
    too_long = [Choice(Code.TOO_LONG, DROP)]
    cases: list[tuple[TokenExamination | None, dict[str, Any], str, str]] = [
        (short, {"strategies": too_long}, "remove.strategies", "FOUND_IN_ALL"),
        (short, {"strategies": too_long, "records": NEW}, "remove.strategies", "FOUND_IN_ALL"),
        (
            usual,
            {"strategies": [Choice(Code.TOO_LONG, ERROR)]},
            "remove.strategies",
            "RECORDS_REFUSED",
        ),
        (
            usual,
            {"strategies": [Choice(Code.DOUBLED_BOS, DROP)]},
            "parentId",
            "NOTHING_CHANGED",
        ),
        (
            usual,
            {"remove": [LineRange(1, 2)]},
            "remove.tokenExaminationId",
            "EXAMINATION_WITHOUT_EFFECT",
        ),
        (waiting, {"strategies": too_long}, "remove.tokenExaminationId", "EXAMINATION_NOT_READY"),
        (None, {"strategies": too_long}, "remove.strategies.0", "FINDING_UNKNOWN"),
        (
            usual,
            {"strategies": [Choice(Code.LEAK, DROP)]},
            "remove.strategies.0",
            "FINDING_UNKNOWN",
        ),
    ]
    for look, wanted, path, code in cases:
        with pytest.raises(InvalidInput) as caught:
            await ask(viewer, service, parent, token_examination_id=look and look.id, **wanted)
        told = [(".".join(each.path), each.code) for each in caught.value.findings]
        assert told == [(path, code)]
    for dataset, key in ((other, usual.id), (parent, uuid4())):
        with pytest.raises(NotFound):
            await ask(viewer, service, dataset, strategies=too_long, token_examination_id=key)
    assert await Derivation.all().count() == 0


async def test_a_look_of_which_nothing_is_kept_fails_the_dataset_and_is_taken_again(
    viewer: Viewer, service: Service, parent: Dataset, model: BaseModel
) -> None:
    look = await examined(viewer, service, parent, model)
    assert (await asked(viewer, service, parent, model)).status is TaskStatus.READY
    kept = service.artifacts.token_examination(look.id) / KEPT
    content = await asyncio.to_thread(kept.read_bytes)
    await asyncio.to_thread(kept.write_bytes, content[:-9])
    wanted = {"strategies": [Choice(Code.TOO_LONG, DROP)], "token_examination_id": look.id}
    failed = await ingest(service, (await ask(viewer, service, parent, **wanted)).id)
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "TOKENS_NOT_KEPT"
    again = await asked(viewer, service, parent, model)
    assert (again.id, again.status, again.progress) == (look.id, TaskStatus.QUEUED, 0.0)


def test_what_is_in_the_records_is_not_told_by_their_tokens() -> None:
    choices = [Choice(Code.TOO_LONG, DROP), Choice(Code.EMAIL_ADDRESS, DROP)]
    with pytest.raises(InvalidInput) as caught:
        chosen(choices, ["strategies"], looked_for=ROW_CODES)
    (found,) = caught.value.findings
    assert (found.code, found.path) == ("FINDING_UNKNOWN", ("strategies", "1"))
    assert found.message == "Which records have EMAIL_ADDRESS is not told by their tokens."
