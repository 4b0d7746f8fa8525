"""A preview over the API: exactly the rows of the loop, for those who may see the dataset."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.access import Role, Viewer
from jobs.models import BaseModel, Dataset
from jobs.service import Service
from jobs.status import TaskStatus
from schema import ids
from tests.api.clients import Client
from tests.factories import FACTS, QA, make_dataset, make_model, make_viewer
from tests.tiny_model import make_tiny_model
from training.config import DataType, TrainOn
from training.data.choosing import settle_template
from training.data.records import Record
from training.data.rendering import IGNORED, Renderer
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.preview.questions import MOST_TOKENS
from training.templates.named import NamedTemplate, text_of

PREVIEW = """query($dataset: ID!, $model: ID!, $first: Int!, $after: String, $options: PreviewOptionsInput) {
  previewDataset(datasetId: $dataset, modelId: $model, first: $first, after: $after, options: $options) {
    __typename
    ... on DatasetPreview {
      chatTemplate stopTokens
      records {
        totalCount pageInfo { hasNextPage endCursor }
        edges { node {
          line text tokens { id text trained } tokensCut tokenCount trainedTokenCount truncated
        } } } }
    ... on Problem { code message remedy }
    ... on InvalidProblem { findings { severity code path message remedy suggestedPatch } } } }"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("previewed") / "tiny")


@pytest.fixture
async def viewer(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def model(viewer: Viewer, source: Path) -> BaseModel:
    return await make_model(viewer, source=str(source))


async def preview(
    client: Client, viewer: Viewer, dataset: Dataset, model: BaseModel, **asked: Any
) -> dict[str, Any]:
    asked = {"first": 3, "after": None, "options": {}} | asked
    given = {
        "dataset": ids.encode(ids.Kind.DATASET, dataset.id),
        "model": ids.encode(ids.Kind.MODEL, model.id),
    }
    answer = await (await client.as_viewer(viewer)).data(PREVIEW, **given, **asked)
    found = answer["previewDataset"]
    assert isinstance(found, dict)
    return found


def nodes(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in found["records"]["edges"]]


def renderer(source: Path, data_type: DataType, **options: Any) -> Renderer:
    """As the training loop makes it."""
    tokenizer = load_tokenizer(str(source))
    stops = settle_template(
        tokenizer, options.pop("chat_template", None), declared_stop_ids(str(source), tokenizer)
    )
    return Renderer(tokenizer, data_type, stop_token_ids=stops, **{"max_length": 512} | options)


def as_in_the_loop(loop: Renderer, line: int, record: Record) -> dict[str, Any]:
    whole = loop.row(line, record)
    row = whole.cut(loop.max_length)
    return {
        "line": line,
        "ids": row.input_ids,
        "trained": [label != IGNORED for label in row.labels],
        "tokenCount": len(whole.input_ids),
        "trainedTokenCount": row.trained_tokens,
        "truncated": len(whole.input_ids) > len(row.input_ids),
    }


def as_shown(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "line": node["line"],
        "ids": [token["id"] for token in node["tokens"]],
        "trained": [token["trained"] for token in node["tokens"]],
        **{name: node[name] for name in ("tokenCount", "trainedTokenCount", "truncated")},
    }


CHAT: list[Any] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "東京 🙂?"},
            {"role": "assistant", "content": "\nNaïve.", **weight},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "See you"},
        ]
    }
    for weight in ({}, {"weight": 0})
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"trainOn": "LAST_ASSISTANT"},
    {"trainOn": "ALL", "maxSequenceLength": 40},
    {"chatTemplate": "ALPACA", "maxSequenceLength": 300},
]


async def test_a_preview_is_what_the_loop_sees(
    client: Client, viewer: Viewer, model: BaseModel, source: Path, service: Service
) -> None:
    dataset = await make_dataset(viewer, service, records=CHAT, data_type=DataType.CHAT)
    for options in OPTIONS:
        loop = renderer(
            source,
            DataType.CHAT,
            chat_template=options.get("chatTemplate"),
            train_on=TrainOn(options.get("trainOn", "ASSISTANT")),
            max_length=options.get("maxSequenceLength", 1024),
        )
        found = await preview(client, viewer, dataset, model, options=options)
        assert found["__typename"] == "DatasetPreview", found
        assert found["chatTemplate"] == loop.tokenizer.chat_template
        assert found["stopTokens"] == ["<|im_end|>"]
        assert [as_shown(node) for node in nodes(found)] == [
            as_in_the_loop(loop, line, record) for line, record in enumerate(CHAT, start=1)
        ]
        for node in nodes(found):
            assert node["text"] == "".join(token["text"] for token in node["tokens"])
            assert node["text"] == loop.tokenizer.decode([token["id"] for token in node["tokens"]])


async def test_its_process_is_small_and_without_torch(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    await preview(client, viewer, dataset, model)
    process = Path(f"/proc/{service.previews.pid}")
    assert "libtorch" not in (process / "maps").read_text()
    resident = (process / "status").read_text().partition("VmRSS:")[2].split()
    assert (int(resident[0]) < 150_000, resident[1]) == (True, "kB")


TEXTS: dict[DataType, list[Any]] = {
    DataType.QA: QA[:4],
    DataType.TEXT: [{"text": "one two"}],
    DataType.CODE: [{"code": "def f(): ..."}],
    DataType.COMPLETION: [{"prompt": "The capital", "completion": " is Paris."}],
}


async def test_every_type_is_shown_as_the_loop_sees_it(
    client: Client, viewer: Viewer, model: BaseModel, source: Path, service: Service
) -> None:
    for data_type, records in TEXTS.items():
        dataset = await make_dataset(viewer, service, records=records, data_type=data_type)
        found = await preview(client, viewer, dataset, model, first=20)
        loop = renderer(source, data_type)
        assert [as_shown(node) for node in nodes(found)] == [
            as_in_the_loop(loop, line, record) for line, record in enumerate(records, start=1)
        ]


async def test_pages_follow_one_another_and_long_records_are_cut_where_they_say(
    client: Client, viewer: Viewer, source: Path, service: Service
) -> None:
    facts = FACTS.model_copy(update={"context_length": None}).model_dump(mode="json")
    model = await make_model(viewer, source=str(source))
    await BaseModel.filter(id=model.id).update(facts=facts)
    records = [*QA[:2], {"question": "Why?", "answer": "a b " * 2000}]
    dataset = await make_dataset(viewer, service, records=records)
    first = await preview(client, viewer, dataset, model, first=2)
    page = first["records"]["pageInfo"]
    assert [node["line"] for node in nodes(first)] == [1, 2]
    assert (first["records"]["totalCount"], page["hasNextPage"]) == (3, True)
    rest = await preview(
        client,
        viewer,
        dataset,
        model,
        after=page["endCursor"],
        options={"maxSequenceLength": 2000},
    )
    [node] = nodes(rest)
    assert (node["line"], len(node["tokens"])) == (3, MOST_TOKENS)
    assert (node["tokensCut"], node["truncated"]) == (True, True)
    assert node["tokenCount"] > 4000
    assert 1900 < node["trainedTokenCount"] < 2000
    assert not rest["records"]["pageInfo"]["hasNextPage"]


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"chatTemplate": "{% for m in messages %}"}, "CHAT_TEMPLATE_UNUSABLE"),
    ({"chatTemplate": "chat"}, "UNKNOWN_CHAT_TEMPLATE"),
    ({"chatTemplate": "GEMMA"}, "END_OF_TURN_SPLIT"),
    ({"chatTemplate": "{{ messages[7].content }}"}, "CHAT_TEMPLATE_FAILED"),
    ({"chatTemplate": "{{ messages[-1].content }}"}, "TEMPLATE_NOT_PREFIX_STABLE"),
    (
        {"chatTemplate": "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}"
         "{% if add_generation_prompt %}assistant: {% endif %}"},
        "STOP_TOKEN_NOT_TRAINED",
    ),
    ({"maxSequenceLength": 4}, "OUT_OF_RANGE"),
]  # fmt: skip


async def test_what_a_run_would_fail_over_is_a_finding(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    for options, code in PROBLEMS:
        found = await preview(client, viewer, dataset, model, options=options)
        assert found["__typename"] == "InvalidProblem", options
        [finding] = found["findings"]
        assert finding["code"] == code
        assert finding["path"] == ["options", next(iter(options))]
        assert finding["message"].endswith(".")


async def test_a_model_without_a_template_needs_one_and_the_patch_names_it(
    client: Client, viewer: Viewer, model: BaseModel, service: Service, tmp_path: Path
) -> None:
    plain = make_tiny_model(tmp_path / "plain", chat_template=None)
    lacks = FACTS.model_copy(
        update={"has_chat_template": False, "chat_templates": (NamedTemplate.CHATML,)}
    )
    await BaseModel.filter(id=model.id).update(
        source=str(plain), facts=lacks.model_dump(mode="json")
    )
    dataset = await make_dataset(viewer, service)
    found = await preview(client, viewer, dataset, model)
    [finding] = found["findings"]
    assert (finding["code"], finding["path"]) == ("NO_CHAT_TEMPLATE", ["options", "chatTemplate"])
    assert finding["suggestedPatch"] == {"options": {"chatTemplate": "CHATML"}}
    mended = await preview(client, viewer, dataset, model, **finding["suggestedPatch"])
    assert mended["chatTemplate"] == text_of(NamedTemplate.CHATML)
    stored = BaseModel.filter(id=model.id)
    await stored.update(facts=FACTS.model_dump(mode="json"))  # it had one when it was looked at
    found = await preview(client, viewer, dataset, model)
    assert [each["code"] for each in found["findings"]] == ["NO_CHAT_TEMPLATE"]


async def test_a_model_that_is_not_ready_is_in_the_way(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    for status, said in (
        (TaskStatus.RUNNING, "still being looked at"),
        (TaskStatus.FAILED, "could not"),
    ):
        await BaseModel.filter(id=model.id).update(status=status)
        found = await preview(client, viewer, dataset, model)
        assert found["__typename"] == "ConflictProblem"
        assert said in found["message"]
    assert service.previews.pid is None


async def test_files_that_are_gone_are_in_the_way(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    service.artifacts.records(dataset.id).write_bytes(json.dumps(QA[0]).encode() + b"\n{}\n")
    found = await preview(client, viewer, dataset, model)
    assert found["__typename"] == "ConflictProblem"
    assert "line 2" in found["message"]
    assert str(service.settings.home) not in found["message"]
    await BaseModel.filter(id=model.id).update(source="/nowhere/at/all")
    assert (await preview(client, viewer, dataset, model))["__typename"] == "ConflictProblem"


@pytest.mark.parametrize("first", [0, 21, -1])
async def test_a_preview_is_of_few_records(
    client: Client, viewer: Viewer, model: BaseModel, service: Service, first: int
) -> None:
    dataset = await make_dataset(viewer, service)
    found = await preview(client, viewer, dataset, model, first=first)
    assert (found["__typename"], found["findings"][0]["path"]) == ("InvalidProblem", ["first"])
    assert service.previews.pid is None


async def test_anothers_dataset_does_not_exist(
    client: Client, viewer: Viewer, model: BaseModel, service: Service
) -> None:
    dataset = await make_dataset(viewer, service)
    stranger = await make_viewer()
    found = await preview(client, stranger, dataset, model)
    shown = ids.encode(ids.Kind.DATASET, dataset.id)
    assert found == {
        "__typename": "NotFoundProblem",
        "code": "NOT_FOUND",
        "message": f"There is no dataset {shown!r} that you can see.",
        "remedy": None,
    }
    assert service.previews.pid is None
    admin = await make_viewer(Role.ADMIN)
    assert (await preview(client, admin, dataset, model))["__typename"] == "DatasetPreview"
    nobody = {"dataset": shown, "model": ids.encode(ids.Kind.MODEL, model.id), "first": 1}
    assert await client.code(PREVIEW, **nobody) == "UNAUTHENTICATED"
