"""Another user's things are out of reach by every path, as if they were not there."""

import pytest

from jobs.access import Role, Viewer
from jobs.models import Checkpoint, Dataset, Export, ModelVersion, TrainingJob
from schema import ids
from tests.api.clients import Client, subscribe, values
from tests.api.rows import make_completed_job, make_export
from tests.factories import make_dataset, make_viewer

Kind = ids.Kind


class World:
    """What one user has, by id."""

    def __init__(self, job: TrainingJob, version: ModelVersion, export: Export) -> None:
        assert job.dataset_id is not None
        self.model = ids.encode(Kind.MODEL, job.model_id)
        self.dataset = ids.encode(Kind.DATASET, job.dataset_id)
        self.job = ids.encode(Kind.JOB, job.id)
        self.version = ids.encode(Kind.VERSION, version.id)
        self.export = ids.encode(Kind.EXPORT, export.id)
        self.owner = ids.encode(Kind.USER, job.owner_id)


@pytest.fixture
async def owner(client: Client) -> Viewer:
    del client  # opens the database
    return await make_viewer()


@pytest.fixture
async def world(client: Client, owner: Viewer) -> World:
    job = await make_completed_job(owner, client.service)
    version = await ModelVersion.get(job_id=job.id)
    return World(job, version, await make_export(owner, client.service, version))


LOOK_UPS = {
    "dataset": "query($id: ID!) { found: getDataset(id: $id) { id } }",
    "job": "query($id: ID!) { found: getTrainingStatus(jobId: $id) { id } }",
    "export": "query($id: ID!) { found: getExport(id: $id) { id } }",
}
NODE = "query($id: ID!) { found: node(id: $id) { id } }"


@pytest.mark.parametrize("kind", ["dataset", "job", "version", "export", "owner", "checkpoint"])
async def test_a_look_up_finds_only_ones_own(
    client: Client, owner: Viewer, world: World, kind: str
) -> None:
    checkpoint = await Checkpoint.all().first()
    assert checkpoint is not None
    ours = {**vars(world), "checkpoint": ids.encode(Kind.CHECKPOINT, checkpoint.id)}[kind]
    mine = await client.as_viewer(owner)
    theirs = await client.as_viewer(await make_viewer())
    admin = await client.as_viewer(await make_viewer(Role.ADMIN))
    for query in (NODE, LOOK_UPS.get(kind, NODE)):
        assert await mine.data(query, id=ours) == {"found": {"id": ours}}
        assert await admin.data(query, id=ours) == {"found": {"id": ours}}
        assert await theirs.data(query, id=ours) == {"found": None}
        assert await client.code(query, id=ours) == "UNAUTHENTICATED"


async def test_lists_hold_only_ones_own(client: Client, owner: Viewer, world: World) -> None:
    lists = """query($user: ID!, $model: String!) {
      listDatasets { totalCount edges { node { id } } }
      listTrainingJobs { totalCount edges { node { id } } }
      byUser: listTrainingJobs(userId: $user) { totalCount }
      datasetsByUser: listDatasets(userId: $user) { totalCount }
      listModelVersions(modelName: $model) { totalCount edges { node { id } } } }"""
    found = await (await client.as_viewer(owner)).data(NAME, id=world.model)
    asked = {"user": world.owner, "model": found["node"]["name"]}
    mine = await (await client.as_viewer(owner)).data(lists, **asked)
    assert mine["listTrainingJobs"] == {"totalCount": 1, "edges": [{"node": {"id": world.job}}]}
    theirs = await (await client.as_viewer(await make_viewer())).data(lists, **asked)
    assert [each["totalCount"] for each in theirs.values()] == [0] * 5


NAME = "query($id: ID!) { node(id: $id) { ... on Model { name } } }"


async def test_a_shared_model_shows_nothing_of_others(
    client: Client, owner: Viewer, world: World
) -> None:
    nested = """query($id: ID!) { node(id: $id) { ... on Model {
      owner { email } activeVersion { id } runningJobs { id }
      versions { totalCount edges { node { id job { id dataset { id } } } } } } } }"""
    await ModelVersion.all().update(status="ACTIVE")
    running = await make_completed_job(owner, client.service)
    await TrainingJob.filter(id=running.id).update(status="TRAINING")
    model = ids.encode(Kind.MODEL, running.model_id)
    stranger = await client.as_viewer(await make_viewer())
    for model_id in (world.model, model):
        assert (await stranger.data(nested, id=model_id))["node"] == {
            "owner": None,
            "activeVersion": None,
            "runningJobs": [],
            "versions": {"totalCount": 0, "edges": []},
        }
    seen = (await (await client.as_viewer(owner)).data(nested, id=world.model))["node"]
    assert seen["owner"] == {"email": owner.email}
    assert seen["activeVersion"] == {"id": world.version}


async def test_mutations_on_anothers_things_find_nothing(client: Client, world: World) -> None:
    viewer = await make_viewer()
    stranger = await client.as_viewer(viewer)
    own = ids.encode(Kind.DATASET, (await make_dataset(viewer, client.service)).id)
    mutations = (
        ("mutation($id: ID!) { m: cancelTraining(jobId: $id) { __typename } }", world.job),
        ("mutation($id: ID!) { m: pauseTraining(jobId: $id) { __typename } }", world.job),
        ("mutation($id: ID!) { m: resumeTraining(jobId: $id) { __typename } }", world.job),
        ("mutation($id: ID!) { m: saveCheckpoint(jobId: $id) { __typename } }", world.job),
        (
            "mutation($id: ID!) { m: cleanupCheckpoints(jobId: $id, keepBest: 0) { __typename } }",
            world.job,
        ),
        ("mutation($id: ID!) { m: deleteDataset(datasetId: $id) { __typename } }", world.dataset),
        (
            """mutation($id: ID!) { m: exportModel(input: {modelVersionId: $id,
            format: SAFETENSORS}) { __typename } }""",
            world.version,
        ),
        (
            f"""mutation($id: ID!) {{ m: runPipeline(input: {{datasetId: $id, trainingType: LORA,
            modelId: "{world.model}"}}) {{ __typename }} }}""",
            world.dataset,
        ),
        (
            f"""mutation($id: ID!) {{ m: runPipeline(input: {{datasetId: "{own}", trainingType: LORA,
            modelId: "{world.model}", data: {{validationDatasetId: $id}}}}) {{ __typename }} }}""",
            world.dataset,
        ),
        (
            """mutation($id: ID!) { m: deriveDataset(input: {parentId: $id,
            remove: {lines: [{first: 1}]}}) { __typename } }""",
            world.dataset,
        ),
    )
    for mutation, given in mutations:
        answer = await stranger.data(mutation, id=given)
        assert answer == {"m": {"__typename": "NotFoundProblem"}}
    assert (await TrainingJob.all().count(), await Export.all().count()) == (1, 1)
    assert await Dataset.all().count() == 2


async def test_validation_tells_nothing_of_anothers_dataset(client: Client, world: World) -> None:
    stranger = await client.as_viewer(await make_viewer())
    query = """query($input: RunPipelineInput!) { validateConfig(input: $input) {
      valid errors { code path } resolved { epochs } } }"""
    sent = {"modelId": world.model, "datasetId": world.dataset, "trainingType": "LORA"}
    assert (await stranger.data(query, input=sent))["validateConfig"] == {
        "valid": False,
        "errors": [{"code": "NOT_FOUND", "path": ["datasetId"]}],
        "resolved": None,
    }


@pytest.mark.parametrize("field", ["trainingStatus", "trainingEvents"])
async def test_anothers_job_cannot_be_followed(client: Client, world: World, field: str) -> None:
    stranger = await client.as_viewer(await make_viewer())
    selection = "id" if field == "trainingStatus" else "seq"
    query = f"subscription($id: ID!) {{ {field}(jobId: $id) {{ {selection} }} }}"
    for given in (world.job, "nonsense"):
        async with stranger.socket() as socket:
            await subscribe(socket, query, id=given)
            [answer] = [value async for value in values(socket)]
            assert answer["data"] is None
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "NOT_FOUND"
            assert error["message"] == f"There is no job {given!r} that you can see."
