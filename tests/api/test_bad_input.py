"""Bad input gets a typed answer that names the value, and changes no row."""

from typing import Any

import pytest

from jobs.access import Role
from jobs.models import AuditEntry, BaseModel, Dataset, TrainingJob
from schema import ids
from tests.api.clients import Client
from tests.factories import QA, make_dataset, make_job, make_model, make_viewer

CREATE = """mutation($input: CreateDatasetInput!) { createDataset(input: $input) {
  __typename ... on Dataset { recordCount rejected { edges { node { line code message } } } }
  ... on InvalidProblem { code message findings { code path message } } } }"""
RUN = """mutation($input: RunPipelineInput!) { runPipeline(input: $input) {
  __typename ... on TrainingJob { id } ... on Problem { code message }
  ... on NotFoundProblem { id } ... on InvalidProblem { findings { severity code path message } }
} }"""
VALIDATE = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  valid errors { code path message } warnings { code suggestedPatch } resolved { epochs } } }"""
RESOLVED = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
  errors { code } resolved { trainableLayers trainEmbeddings optimizer rsLora dora
  loraInitialisation } } }"""
NOBODY = "00000000000000000000000000000000"


async def rows() -> list[int]:
    return [await table.all().count() for table in (TrainingJob, Dataset, BaseModel, AuditEntry)]


async def run_input(client: Client, **changes: Any) -> tuple[Client, dict[str, Any]]:
    viewer = await make_viewer()
    model = await make_model(viewer)
    dataset = await make_dataset(viewer, client.service)
    sent: dict[str, Any] = {
        "modelId": ids.encode(ids.Kind.MODEL, model.id),
        "datasetId": ids.encode(ids.Kind.DATASET, dataset.id),
        "trainingType": "LORA",
    }
    return await client.as_viewer(viewer), sent | changes


@pytest.mark.parametrize(
    ("hyperparameters", "path", "shown"),
    [
        ({"learningRate": -0.001}, "learningRate", "-0.001"),
        ({"loraRank": 0}, "loraRank", "0"),
        ({"batchSize": 0}, "batchSize", "0"),
        ({"epochs": 1_000_000_000}, "epochs", "1000000000"),
        ({"maxSequenceLength": 1_000_000}, "maxSequenceLength", "1000000"),
        ({"seed": -1}, "seed", "-1"),
    ],
)
async def test_a_value_that_cannot_run_is_named_and_nothing_is_queued(
    client: Client, hyperparameters: dict[str, Any], path: str, shown: str
) -> None:
    viewer, sent = await run_input(client, hyperparameters=hyperparameters)
    before = await rows()
    answer = (await viewer.data(RUN, input=sent))["runPipeline"]
    assert (answer["__typename"], answer["code"]) == ("InvalidProblem", "INVALID")
    errors = {each["path"][-1]: each for each in answer["findings"] if each["severity"] == "ERROR"}
    assert errors[path]["path"] == ["hyperparameters", path]
    assert f"{path} is {shown}," in errors[path]["message"]
    checked = (await viewer.data(VALIDATE, input=sent))["validateConfig"]
    assert checked["valid"] is False
    assert {each["path"][-1] for each in checked["errors"]} == set(errors)
    assert await rows() == before


async def test_every_method_is_accepted_with_its_options_and_told_back(client: Client) -> None:
    freeze = {"trainableLayers": 4, "trainEmbeddings": True, "optimizer": "ADAMW_8BIT"}
    qlora = {"rsLora": True, "dora": True, "loraInitialisation": "GAUSSIAN"}
    for method, options in {"LORA": {}, "FULL": {}, "QLORA": qlora, "FREEZE": freeze}.items():
        viewer, sent = await run_input(client, trainingType=method, hyperparameters=options)
        checked = (await viewer.data(RESOLVED, input=sent))["validateConfig"]
        assert checked["errors"] == []
        resolved = checked["resolved"]
        assert {name: resolved[name] for name in options} == options
        assert (resolved["trainableLayers"] is None) is (method != "FREEZE")
        assert (resolved["dora"] is None) is (method not in ("LORA", "QLORA"))
        assert (await viewer.data(RUN, input=sent))["runPipeline"]["__typename"] == "TrainingJob"


async def test_more_layers_than_the_model_has_are_refused(client: Client) -> None:
    viewer, sent = await run_input(
        client, trainingType="FREEZE", hyperparameters={"trainableLayers": 5}
    )
    (finding,) = (await viewer.data(VALIDATE, input=sent))["validateConfig"]["errors"]
    assert finding["path"] == ["hyperparameters", "trainableLayers"]
    assert "must be 0 to 4, the model's decoder layers" in finding["message"]


async def test_infinite_numbers_are_no_json_and_no_float(client: Client) -> None:
    viewer, sent = await run_input(client)
    before = await rows()
    for value in (float("inf"), float("nan")):
        sent["hyperparameters"] = {"learningRate": value}
        assert await viewer.code(RUN, input=sent) == "BAD_USER_INPUT"
    assert await rows() == before


@pytest.mark.parametrize("field", ["modelId", "datasetId"])
@pytest.mark.parametrize("given", ["nonsense", "", "{prefix}_" + NOBODY])
async def test_an_unknown_model_or_dataset_is_not_found(
    client: Client, field: str, given: str
) -> None:
    viewer, sent = await run_input(client)
    given = given.replace("{prefix}", field.removesuffix("Id"))
    before = await rows()
    answer = (await viewer.data(RUN, input=sent | {field: given}))["runPipeline"]
    assert (answer["__typename"], answer["code"]) == ("NotFoundProblem", "NOT_FOUND")
    assert answer["id"] == given
    assert repr(given) in answer["message"]
    assert await rows() == before


async def test_an_id_of_another_kind_is_not_found(client: Client) -> None:
    viewer, sent = await run_input(client)
    swapped = sent | {"modelId": sent["datasetId"]}
    assert (await viewer.data(RUN, input=swapped))["runPipeline"]["code"] == "NOT_FOUND"


async def test_an_empty_dataset_is_refused(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    before = await rows()
    for on_invalid in ("ERROR", "DROP"):
        sent = {"name": "x", "dataType": "QA", "source": {"records": []}, "onInvalid": on_invalid}
        answer = (await viewer.data(CREATE, input=sent))["createDataset"]
        assert [each["code"] for each in answer["findings"]] == ["EMPTY_DATASET"]
    assert await rows() == before


async def test_a_record_of_the_wrong_shape_is_named_by_its_line(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    before = await rows()
    bad = {"question": "no answer"}
    sent: dict[str, Any] = {
        "name": "x",
        "dataType": "QA",
        "source": {"records": [*QA[:2], bad, *QA[2:4], "text", 5]},
    }
    answer = (await viewer.data(CREATE, input=sent))["createDataset"]
    assert answer["message"] == "3 of 7 records are invalid."
    assert [each["path"][-1] for each in answer["findings"]] == ["2", "5", "6"]
    assert answer["findings"][0]["message"] == "Record 3: The column 'answer' is missing."
    assert await rows() == before
    taken = (await viewer.data(CREATE, input=sent | {"onInvalid": "DROP"}))["createDataset"]
    assert taken["recordCount"] == 4
    rejected = [edge["node"] for edge in taken["rejected"]["edges"]]
    assert [each["line"] for each in rejected] == [3, 6, 7]
    assert rejected[0]["code"] == "MISSING_FIELD"


@pytest.mark.parametrize("source", [{}, {"records": None}, {"records": [], "hub": "x"}])
async def test_a_dataset_has_exactly_one_source(client: Client, source: dict[str, Any]) -> None:
    viewer = await client.as_viewer(await make_viewer())
    sent = {"name": "x", "dataType": "QA", "source": source}
    assert await viewer.code(CREATE, input=sent) == "BAD_USER_INPUT"


async def test_all_five_types_are_taken(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    records = {
        "TEXT": {"text": "x"},
        "CODE": {"code": "x = 1", "language": "python"},
        "QA": {"question": "x", "answer": "y"},
        "COMPLETION": {"prompt": "x", "completion": "y"},
        "CHAT": {
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        },
    }
    for kind, record in records.items():
        sent = {"name": kind, "dataType": kind, "source": {"records": [record]}}
        answer = (await viewer.data(CREATE, input=sent))["createDataset"]
        assert answer == {"__typename": "Dataset", "recordCount": 1, "rejected": {"edges": []}}


DELETE = """mutation($id: ID!) { deleteDataset(datasetId: $id) {
  __typename ... on DeletedDataset { id deletedRows freedBytes }
  ... on ConflictProblem { code message blockedBy } ... on NotFoundProblem { id } } }"""


async def test_a_dataset_in_use_is_not_deleted(client: Client) -> None:
    owner = await make_viewer()
    viewer = await client.as_viewer(owner)
    job = await make_job(owner, client.service)
    assert job.dataset_id is not None
    dataset_id = ids.encode(ids.Kind.DATASET, job.dataset_id)
    job_id = ids.encode(ids.Kind.JOB, job.id)
    answer = (await viewer.data(DELETE, id=dataset_id))["deleteDataset"]
    assert (answer["code"], answer["blockedBy"]) == ("IN_USE", [job_id])
    cancel = "mutation($id: ID!) { cancelTraining(jobId: $id) { __typename } }"
    await viewer.data(cancel, id=job_id)
    again = (await viewer.data(cancel, id=job_id))["cancelTraining"]
    assert again["__typename"] == "ConflictProblem"
    answer = (await viewer.data(DELETE, id=dataset_id))["deleteDataset"]
    assert (answer["id"], answer["deletedRows"]) == (dataset_id, 2)
    assert answer["freedBytes"] > 0
    kept = "query($id: ID!) { getTrainingStatus(jobId: $id) { datasetName dataset { id } } }"
    assert (await viewer.data(kept, id=job_id))["getTrainingStatus"] == {
        "datasetName": "sums",
        "dataset": None,
    }
    gone = (await viewer.data(DELETE, id=dataset_id))["deleteDataset"]
    assert gone == {"__typename": "NotFoundProblem", "id": dataset_id}


REGISTER = """mutation($source: String!) { registerModel(name: "m", source: $source) {
  __typename ... on Problem { code message } } }"""


@pytest.mark.parametrize("source", ["", "no such folder", "/etc", "../x", "a/b/c"])
async def test_a_model_source_that_cannot_be_is_refused(client: Client, source: str) -> None:
    admin = await client.as_viewer(await make_viewer(Role.ADMIN))
    before = await rows()
    answer = (await admin.data(REGISTER, source=source))["registerModel"]
    assert (answer["__typename"], answer["code"]) == ("InvalidProblem", "INVALID")
    assert await rows() == before


@pytest.mark.parametrize("source", ["/etc", "/no/such/folder", "../x"])
async def test_a_trainer_cannot_probe_the_servers_folders(client: Client, source: str) -> None:
    trainer = await client.as_viewer(await make_viewer())
    before = await rows()
    assert await trainer.code(REGISTER, source=source) == "FORBIDDEN"
    assert await rows() == before


TEXTS = {
    "login": 'mutation($t: String!) { login(email: $t, password: "x") { expiresAt } }',
    "password": 'mutation($t: String!) { login(email: "x", password: $t) { expiresAt } }',
    "refreshToken": "mutation($t: String!) { refreshToken(refreshToken: $t) { expiresAt } }",
    "getModel": "query($t: String!) { getModel(name: $t) { id } }",
    "listModelVersions": "query($t: String!) { listModelVersions(modelName: $t) { totalCount } }",
    "node": "query($t: ID!) { node(id: $t) { id } }",
    "after": "query($t: String!) { listModels(after: $t) { totalCount } }",
    "registerModel": 'mutation($t: String!) { registerModel(name: $t, source: "a/b") { __typename } }',
    "source": 'mutation($t: String!) { registerModel(name: "m", source: $t) { __typename } }',
    "createDataset": """mutation($t: String!) { createDataset(input: {name: $t, description: $t,
        dataType: TEXT, source: {records: [{text: "x"}]}}) { __typename } }""",
    "records": """mutation($t: JSON!) { createDataset(input: {name: "x",
        dataType: TEXT, source: {records: [$t]}}) { __typename } }""",
    "createUser": """mutation($t: String!) { createUser(email: $t, password: $t, role: VIEWER)
        { __typename } }""",
}


@pytest.mark.parametrize("field", TEXTS)
async def test_hostile_text_is_never_an_internal_error(client: Client, field: str) -> None:
    admin = await client.as_viewer(await make_viewer(Role.ADMIN))
    for text in ("\ud800", "\0", "x" * 100_000, "'; DROP TABLE users; --", "%s%n{}", "💥", "\n"):
        answer = (await admin.post(TEXTS[field], t=text)).json()
        codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
        assert "INTERNAL" not in codes, text[:20]
