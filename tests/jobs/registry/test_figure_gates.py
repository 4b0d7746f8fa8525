"""Gates that ask for figures of an evaluation."""

from typing import Any

import pytest

from jobs.access import Viewer
from jobs.data import deletion
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.models import BaseModel, Dataset, Evaluation, ModelVersion
from jobs.registry import activation
from jobs.registry.activation import Wish
from jobs.registry.figures import LESS_IS_BETTER, Figure, measured
from jobs.service import Service
from jobs.status import TaskStatus
from tests.factories import make_dataset, make_model, make_viewer
from tests.jobs.registry.test_activation import made
from training.evaluation.labels import LabelFigures
from training.evaluation.spec import AnswerFigures, EvaluationOptions, EvaluationResult, Figures

LABELS = LabelFigures(
    accuracy=0.5,
    macro_precision=0.51,
    macro_recall=0.52,
    macro_f1=0.53,
    calibration_error=0.1,
    classes=(),
    bins=(),
)
ANSWERS = AnswerFigures(records=4, exact_match=0.25, precision=0.26, recall=0.27, f1=0.28, cut=0)
VALUES = {
    Figure.LOSS: 0.6,
    Figure.PERPLEXITY: 1.8,
    Figure.TOKEN_ACCURACY: 0.75,
    Figure.EXACT_MATCH: 0.25,
    Figure.PRECISION: 0.26,
    Figure.RECALL: 0.27,
    Figure.F1: 0.28,
    Figure.LABEL_ACCURACY: 0.5,
    Figure.MACRO_PRECISION: 0.51,
    Figure.MACRO_RECALL: 0.52,
    Figure.MACRO_F1: 0.53,
    Figure.CALIBRATION_ERROR: 0.1,
}
TUNED = Figures(loss=0.6, perplexity=1.8, token_accuracy=0.75, answers=ANSWERS, labels=LABELS)
RESULT = EvaluationResult(
    records=4,
    trained_tokens=40,
    dropped=0,
    dropped_lines=(),
    tuned=TUNED,
    base=None,
    seen=None,
    unlabelled=None,
    seconds=1.0,
)


@pytest.fixture
async def viewer(service: Service) -> Viewer:
    del service  # only its database
    return await make_viewer()


@pytest.fixture
async def model(viewer: Viewer) -> BaseModel:
    return await make_model(viewer)


@pytest.fixture
async def tests(viewer: Viewer, service: Service) -> Dataset:
    return await make_dataset(viewer, service, name="tests")


async def evaluated(
    version: ModelVersion,
    dataset: Dataset,
    result: EvaluationResult | None = RESULT,
    **options: Any,
) -> None:
    """A READY evaluation, or one that still goes on."""
    await Evaluation.create(
        version_id=version.id,
        dataset_id=dataset.id,
        dataset_name=dataset.name,
        dataset_sha256=dataset.sha256,
        options=EvaluationOptions(**options).model_dump(mode="json"),
        status=TaskStatus.READY if result else TaskStatus.RUNNING,
        result=result and result.model_dump(mode="json"),
        owner_id=version.owner_id,
    )


def matching(share: float, **changes: Any) -> EvaluationResult:
    """A result with such a share of exact answers."""
    answers = ANSWERS.model_copy(update={"exact_match": share})
    tuned = TUNED.model_copy(update={"answers": answers})
    return RESULT.model_copy(update={"tuned": tuned, **changes})


async def refused(viewer: Viewer, version: ModelVersion) -> list[tuple[str, str, str]]:
    with pytest.raises(InvalidInput) as error:
        await activation.activate(viewer, version.id, Wish())
    return [(each.code, each.message, each.remedy) for each in error.value.findings]


FORCE = "or send force: true with a reason."


@pytest.mark.parametrize("figure", list(Figure))
async def test_each_figure_is_held_against_its_bound(
    service: Service, viewer: Viewer, model: BaseModel, tests: Dataset, figure: Figure
) -> None:
    value = VALUES[figure]
    assert measured(figure, RESULT) == value
    (version,) = await made(viewer, service, model, 0.6)
    await evaluated(version, tests)
    is_less = figure in LESS_IS_BETTER
    tight = value - 0.05 if is_less else value + 0.05
    gate = {"figures": [{"figure": figure, "bound": tight}]}
    await activation.set_gate(viewer, model.name, gate)
    side = "allows at most" if is_less else "asks for at least"
    assert await refused(viewer, version) == [
        (
            "FIGURE_OUTSIDE_GATE",
            f"The {figure} of version v1.0.0 is {value:.4g} in its newest evaluation; the gate {side} "
            f"{tight:.4g}.",
            f"Choose another version, {FORCE}",
        )
    ]
    await activation.set_gate(viewer, model.name, {"figures": [{"figure": figure, "bound": value}]})
    assert (await activation.activate(viewer, version.id, Wish())).number == 1


async def test_the_newest_evaluation_on_the_named_dataset_counts(
    service: Service, viewer: Viewer, model: BaseModel, tests: Dataset
) -> None:
    (version,) = await made(viewer, service, model, 0.6)
    other = await make_dataset(
        viewer, service, name="other", records=[{"question": "?", "answer": "!"}]
    )
    figures = [{"figure": "EXACT_MATCH", "bound": 0.8}, {"figure": "F1", "bound": 0.1}]
    gate = {"figures": figures, "test_dataset_id": tests.id}
    set_ = await activation.set_gate(viewer, model.name, gate)
    assert set_.gate is not None
    assert set_.gate["test_dataset_sha256"] == tests.sha256
    await evaluated(version, other, matching(0.9))
    await evaluated(version, tests, None)
    assert tests.sha256 is not None
    assert await refused(viewer, version) == [
        (
            "NOT_EVALUATED",
            "Version v1.0.0 has no READY evaluation on the gate's test dataset, of sha256 "
            f"{tests.sha256[:12]}…; the gate asks for EXACT_MATCH, F1.",
            f"Evaluate it first, with evaluateModel, {FORCE}",
        )
    ]
    await evaluated(version, tests, matching(0.9))
    await evaluated(version, tests, matching(0.7))
    assert [code for code, *_ in await refused(viewer, version)] == ["FIGURE_OUTSIDE_GATE"]
    await deletion.delete(
        viewer, tests.id, artifacts=service.artifacts
    )  # its content is known still
    assert [code for code, *_ in await refused(viewer, version)] == ["FIGURE_OUTSIDE_GATE"]
    forced = await activation.activate(viewer, version.id, Wish("a hotfix", force=True))
    assert forced.forced


async def test_a_figure_that_was_not_measured_passes_no_bound(
    service: Service, viewer: Viewer, model: BaseModel, tests: Dataset
) -> None:
    (version,) = await made(viewer, service, model, 0.6)
    bare = TUNED.model_copy(update={"answers": None, "labels": None})
    why = "There are 4 different answers in 4 records."
    result = RESULT.model_copy(update={"tuned": bare, "unlabelled": why})
    await evaluated(version, tests, result, answers=False)
    bounds = [{"figure": name, "bound": 0.1} for name in (Figure.F1, Figure.MACRO_F1, Figure.LOSS)]
    await activation.set_gate(viewer, model.name, {"figures": bounds})
    again = f"Evaluate it so that there is one, {FORCE}"
    told = await refused(viewer, version)
    assert told[:2] == [
        (
            "FIGURE_NOT_MEASURED",
            "The newest evaluation of version v1.0.0 has no F1. No answers were generated, or its "
            "records have none.",
            again,
        ),
        (
            "FIGURE_NOT_MEASURED",
            f"The newest evaluation of version v1.0.0 has no MACRO_F1. {why}",
            again,
        ),
    ]
    assert [code for code, *_ in told[2:]] == ["FIGURE_OUTSIDE_GATE"]


async def test_a_figure_is_compared_with_that_of_the_active_version_on_the_same_records(
    service: Service, viewer: Viewer, model: BaseModel, tests: Dataset
) -> None:
    first, second = await made(viewer, service, model, 0.6, 0.6)
    await activation.set_gate(
        viewer, model.name, {"figures": [{"figure": "EXACT_MATCH", "not_worse": True}]}
    )
    await evaluated(first, tests, matching(0.5), max_records=4)
    assert (
        await activation.activate(viewer, first.id, Wish())
    ).number == 1  # nothing to compare with
    await evaluated(second, tests, matching(0.4), max_records=4, base=False)
    assert await refused(viewer, second) == [
        (
            "FIGURE_WORSE_THAN_ACTIVE",
            "The EXACT_MATCH of version v1.1.0 is 0.4; that of v1.0.0, which is ACTIVE, is 0.5 on the "
            "same records.",
            f"Choose another version, {FORCE}",
        )
    ]
    await evaluated(second, tests, matching(0.5), max_records=4)
    assert (await activation.activate(viewer, second.id, Wish())).number == 2


@pytest.mark.parametrize(
    ("figure", "changes", "options", "is_comparable"),
    [
        (Figure.F1, {}, {"max_new_tokens": 8}, False),
        (Figure.F1, {}, {"max_records": 4, "seed": 1}, False),
        (Figure.F1, {}, {"seed": 1}, True),  # of all records no sample is drawn
        (Figure.F1, {"dropped": 1, "dropped_lines": (3,)}, {}, False),
        (Figure.F1, {"trained_tokens": 41}, {}, True),
        (Figure.LOSS, {"trained_tokens": 41}, {}, False),
    ],
)
async def test_what_was_not_measured_alike_is_not_compared(
    service: Service,
    viewer: Viewer,
    model: BaseModel,
    tests: Dataset,
    *,
    figure: Figure,
    changes: dict[str, Any],
    options: dict[str, Any],
    is_comparable: bool,
) -> None:
    first, second = await made(viewer, service, model, 0.6, 0.6)
    await evaluated(first, tests)
    await activation.activate(viewer, first.id, Wish())
    bound = {"figure": figure, "not_worse": True}
    await activation.set_gate(viewer, model.name, {"figures": [bound]})
    await evaluated(second, tests, RESULT.model_copy(update=changes), **options)
    if is_comparable:
        assert (await activation.activate(viewer, second.id, Wish())).number == 2
        return
    assert await refused(viewer, second) == [
        (
            "FIGURE_NOT_COMPARABLE",
            f"Whether the {figure} of version v1.1.0 is worse than that of v1.0.0, which is ACTIVE, "
            "cannot be told: they were not evaluated on the same records with the same options.",
            f"Evaluate v1.0.0 as v1.1.0 was, {FORCE}",
        )
    ]


@pytest.mark.parametrize(
    ("bound", "place"),
    [
        ({"figure": "F1", "bound": 1.5}, ("gate", "figures", "0", "bound")),
        ({"figure": "LOSS", "bound": float("nan")}, ("gate", "figures", "0", "bound")),
        ({"figure": "LOSS"}, ("gate", "figures", "0")),
    ],
)
async def test_a_bound_is_one_that_something_can_meet(
    viewer: Viewer, model: BaseModel, bound: dict[str, Any], place: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as error:
        await activation.set_gate(viewer, model.name, {"figures": [bound]})
    assert [(each.code, each.path) for each in error.value.findings] == [("OUT_OF_RANGE", place)]
    assert (await BaseModel.get(id=model.id)).gate is None


async def test_a_gate_names_a_dataset_that_is_ready_and_what_it_is_for(
    service: Service, viewer: Viewer, model: BaseModel, tests: Dataset
) -> None:
    named: dict[str, Any] = {"test_dataset_id": tests.id}
    with pytest.raises(InvalidInput, match="no figure of an evaluation"):
        await activation.set_gate(viewer, model.name, named)
    named["figures"] = [{"figure": "F1", "bound": 0.5}]
    theirs = await make_dataset(await make_viewer(), service)
    with pytest.raises(NotFound):
        await activation.set_gate(viewer, model.name, named | {"test_dataset_id": theirs.id})
    await Dataset.filter(id=tests.id).update(status=TaskStatus.RUNNING)
    with pytest.raises(Conflict, match="still being made"):
        await activation.set_gate(viewer, model.name, named)
    assert (await BaseModel.get(id=model.id)).gate is None
