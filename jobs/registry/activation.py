"""The version of a model that is in production: who puts one there, and what it was before.

Each change is one transaction that counts the model's changes up from the number it has read:
of two at the same time one is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from jobs import audit
from jobs.access import Role, Viewer, visible
from jobs.data import datasets
from jobs.database import transaction
from jobs.errors import Conflict, Forbidden, InvalidInput, NotFound
from jobs.inputs import checked
from jobs.models import Activation, BaseModel, ModelVersion
from jobs.pages import Page, Slice, newest_first
from jobs.registry import base_models, versions
from jobs.registry.gates import Gate, shortcomings
from jobs.status import ActivationKind, VersionStatus

__all__ = ["Wish", "activate", "active", "history", "roll_back", "set_gate"]

MAX_REASON = 1_000
CAN_SERVE = (VersionStatus.READY, VersionStatus.DEPRECATED)


@dataclass(frozen=True)
class Wish:
    """How a version is to be put into production."""

    reason: str | None = None
    force: bool = False
    """Whether it is to be done against the model's gate."""
    expected_id: UUID | None = None
    """The version that must be in production until then; None for whichever is."""


async def activate(viewer: Viewer, version_id: UUID, wish: Wish) -> Activation:
    """Put a version into production; the one that was there becomes DEPRECATED.

    NotFound; Forbidden where the one there is somebody else's; Conflict where it is not trained, or
    ACTIVE already, or another is than was expected; InvalidInput with what keeps it from passing the
    gate.
    """
    reason = _checked_reason(wish)
    version = await versions.trained(viewer, version_id)
    model = await BaseModel.get(id=version.model_id)
    active = await _active(model)
    if active is not None and active.id == version.id:
        raise Conflict(f"Version {version.version} is ACTIVE already.", "Nothing needs to be done.")
    if wish.expected_id is not None and (active is None or active.id != wish.expected_id):
        name = "none" if active is None else active.version
        raise Conflict(
            f"The ACTIVE version is {name}, not the expected one.", "Look at it, and ask again."
        )
    _refuse_stranger(viewer, model, active)
    gate = None if model.gate is None else Gate.model_validate(model.gate)
    failed = [] if gate is None else await shortcomings(gate, version, active)
    if failed and not wish.force:
        raise InvalidInput(f"Version {version.version} does not pass the gate.", failed)
    top = await _top(model)
    change = Activation(kind=ActivationKind.ACTIVATION, reason=reason, forced=bool(failed))
    change.below_id = None if top is None or active is None else top.id
    await _change(viewer, model, change, version=version, active=active)
    return change


async def active(viewer: Viewer, model_name: str) -> ModelVersion:
    """The version of a model that is in production. NotFound for the model, Conflict where there is
    none that the viewer may see."""
    model = await base_models.find(viewer, model_name)
    found = ModelVersion.filter(model_id=model.id, status=VersionStatus.ACTIVE)
    version = await visible(viewer, found).first()
    if version is None:
        raise Conflict(
            f"No version of {model.name!r} that you can see is ACTIVE.",
            "Put one into production with activateModelVersion.",
        )
    return version


async def roll_back(viewer: Viewer, model_name: str, reason: str | None) -> Activation:
    """Return to the version that was in production before the present one.

    Asked again, to the one before that; versions that were deleted are passed over. NotFound,
    Forbidden, Conflict where there is none to return to.
    """
    said = _checked_reason(Wish(reason))
    model = await base_models.find(viewer, model_name)
    active, top = await _active(model), await _top(model)
    _refuse_stranger(viewer, model, active)
    below = top
    while below is not None:
        below = await Activation.get_or_none(id=below.below_id) if below.below_id else None
        if below is not None and below.version_id is not None:
            break
    if below is None or below.version_id is None or active is None:
        raise Conflict(
            f"There is no version of {model.name!r} to return to.",
            "Activate one with activateModelVersion.",
        )
    version = await ModelVersion.get(id=below.version_id)
    change = Activation(kind=ActivationKind.ROLLBACK, reason=said, below_id=below.below_id)
    await _change(viewer, model, change, version=version, active=active)
    return change


async def set_gate(
    viewer: Viewer, model_name: str, bounds: Mapping[str, object] | None
) -> BaseModel:
    """Say what versions of a model must be to go into production, by the fields of `Gate`; None for
    no gate.

    NotFound for the model or the test dataset, Conflict where that is not READY; InvalidInput;
    Forbidden to all but the model's owner and ADMINs.
    """
    model = await base_models.find(viewer, model_name)
    gate = None if bounds is None else checked(Gate, bounds, ("gate",))
    if viewer.role is not Role.ADMIN and model.owner_id != viewer.user_id:
        raise Forbidden(
            f"The model {model.name!r} was registered by somebody else.", "Ask them, or an ADMIN."
        )
    if gate is not None and gate.test_dataset_id is not None:
        gate = await _tested(viewer, gate, gate.test_dataset_id)
    model.gate = None if gate is None else gate.model_dump(mode="json")
    async with transaction():
        await model.save(update_fields=["gate"])
        await audit.record(viewer, "setActivationGate", model, model.id, gate=model.gate)
    return model


async def history(viewer: Viewer, model_name: str, page: Page) -> Slice[Activation]:
    """The changes of a model's version in production, newest first: all of them for an ADMIN and who
    registered the model, else those of one's own versions. NotFound for the model."""
    model = await base_models.find(viewer, model_name)
    changes = Activation.filter(model_id=model.id)
    if viewer.role is not Role.ADMIN and model.owner_id != viewer.user_id:
        changes = changes.filter(version__owner_id=viewer.user_id)
    return await newest_first(changes, page)


async def _tested(viewer: Viewer, gate: Gate, dataset_id: UUID) -> Gate:
    """The gate with the content of its test dataset, so that it is told apart from all others."""
    if not gate.figures:
        raise InvalidInput.at(
            ["gate", "testDatasetId"],
            "The gate names a test dataset, but no figure of an evaluation on it.",
            code="NO_FIGURES",
            remedy="Say in `figures` what is asked of an evaluation, or leave testDatasetId out.",
        )
    dataset = await datasets.get(viewer, dataset_id)
    for finding in datasets.unready_findings(dataset):
        raise Conflict(finding.message, finding.remedy)
    return gate.model_copy(update={"test_dataset_sha256": dataset.sha256})


def _checked_reason(wish: Wish) -> str | None:
    reason = (wish.reason or "").strip()
    if len(reason) > MAX_REASON or not all(each.isprintable() or each in "\n\t" for each in reason):
        raise InvalidInput.at(
            ["reason"],
            f"The reason has {len(reason)} characters, or some that cannot be printed.",
            code="REASON",
            remedy=f"Write at most {MAX_REASON} printable characters.",
        )
    if wish.force and not reason:
        raise InvalidInput.at(
            ["reason"],
            "To force an activation takes a reason.",
            code="REASON_MISSING",
            remedy="Say why this version goes into production all the same.",
        )
    return reason or None


async def _active(model: BaseModel) -> ModelVersion | None:
    return await ModelVersion.get_or_none(model_id=model.id, status=VersionStatus.ACTIVE)


async def _top(model: BaseModel) -> Activation | None:
    return await Activation.filter(model_id=model.id).order_by("-number").first()


def _refuse_stranger(viewer: Viewer, model: BaseModel, active: ModelVersion | None) -> None:
    """Who may decide what is in production: ADMINs, who registered the model, and whose it is."""
    if viewer.role is Role.ADMIN or model.owner_id == viewer.user_id or active is None:
        return
    if active.owner_id != viewer.user_id:
        raise Forbidden(
            f"The ACTIVE version of {model.name!r} is somebody else's.",
            "Ask them, who registered the model, or an ADMIN.",
        )


async def _change(
    viewer: Viewer,
    model: BaseModel,
    change: Activation,
    *,
    version: ModelVersion,
    active: ModelVersion | None,
) -> None:
    """Make the change and note it, if nothing has changed since the model was read."""
    read = model.activation_counter
    change.number = read + 1
    change.model_id, change.actor_id = model.id, viewer.user_id
    change.version_id, change.version_name = version.id, version.version
    if active is not None:
        change.previous_id = active.id
    async with transaction():
        models = BaseModel.filter(id=model.id, activation_counter=read)
        if not await models.update(activation_counter=change.number):
            raise Conflict(
                f"The ACTIVE version of {model.name!r} has just been changed.",
                "Look at it, and ask again.",
            )
        if active is not None:
            former = ModelVersion.filter(id=active.id, status=VersionStatus.ACTIVE)
            _ = await former.update(status=VersionStatus.DEPRECATED)
        able = ModelVersion.filter(id=version.id, status__in=CAN_SERVE)
        if not await able.update(status=VersionStatus.ACTIVE):
            raise NotFound("model version", version.id)  # it was deleted a moment ago
        await change.save(force_create=True)
        await audit.record(
            viewer,
            "activateModelVersion" if change.kind is ActivationKind.ACTIVATION else "rollbackModel",
            version,
            version.id,
            reason=change.reason,
            forced=change.forced,
        )
