"""What clients see of a model's gate."""

from jobs.models import BaseModel
from schema import ids
from tests.api.clients import Client
from tests.factories import make_dataset, make_model, make_viewer

GATE = (
    "gate { minAccuracy figures { figure bound notWorse } testDatasetSha256 testDataset { name } }"
)
SET = f"""mutation($model: String!, $gate: ActivationGateInput) {{
  setActivationGate(modelName: $model, gate: $gate) {{
    ... on Model {{ {GATE} }} ... on NotFoundProblem {{ code }}
    ... on InvalidProblem {{ findings {{ code path message }} }} }} }}"""
SEE = f"query($model: String!) {{ getModel(name: $model) {{ {GATE} }} }}"


async def test_a_gate_is_seen_by_all_and_its_dataset_by_its_owner(client: Client) -> None:
    owner = await make_viewer()
    model = await make_model(owner)
    tests = await make_dataset(owner, client.service, name="tests")
    theirs = await make_dataset(await make_viewer(), client.service)
    mine = await client.as_viewer(owner)
    figures = [{"figure": "F1", "bound": 0.8}]

    def gate(**more: object) -> dict[str, object]:
        return {"model": model.name, "gate": {"figures": figures, **more}}

    key = ids.encode(ids.Kind.DATASET, theirs.id)
    refused = await mine.data(SET, **gate(testDatasetId=key))
    assert refused["setActivationGate"] == {"code": "NOT_FOUND"}
    key = ids.encode(ids.Kind.DATASET, tests.id)
    shown = {
        "minAccuracy": None,
        "figures": [{"figure": "F1", "bound": 0.8, "notWorse": False}],
        "testDatasetSha256": tests.sha256,
        "testDataset": {"name": "tests"},
    }
    done = await mine.data(SET, **gate(testDatasetId=key))
    assert done["setActivationGate"] == {"gate": shown}
    stranger = await client.as_viewer(await make_viewer())
    seen = (await stranger.data(SEE, model=model.name))["getModel"]["gate"]
    assert seen == shown | {"testDataset": None}
    figures[0]["bound"] = 1.5
    wrong = await mine.data(SET, **gate())
    assert wrong["setActivationGate"]["findings"] == [
        {
            "code": "OUT_OF_RANGE",
            "path": ["gate", "figures", "0", "bound"],
            "message": "figures.0.bound is 1.5: Value error, F1 is 0 to 1.",
        }
    ]
    assert (await BaseModel.get(id=model.id)).gate is not None
