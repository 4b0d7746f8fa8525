"""Finding anything again by its id."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final
from uuid import UUID

import strawberry

from jobs import accounts
from jobs.access import Viewer
from jobs.data import datasets, uploads
from jobs.errors import NotFound
from jobs.models import Checkpoint as CheckpointRow
from jobs.preview import examining
from jobs.registry import base_models, evaluations, exports, generations, versions
from jobs.runs import lifecycle
from schema import ids
from schema.accounts import User
from schema.context import Info
from schema.data.datasets import Dataset
from schema.data.token_examinations import TokenExamination
from schema.data.uploads import Upload
from schema.enums import Role
from schema.nodes import Node
from schema.permissions import Requires
from schema.problems import NullIfNotFound
from schema.registry.evaluations import Evaluation
from schema.registry.exports import Export
from schema.registry.generations import Generation
from schema.registry.models import Model
from schema.registry.versions import ModelVersion
from schema.runs.checkpoints import Checkpoint
from schema.runs.training_jobs import TrainingJob

__all__ = ["NodeQueries"]


@strawberry.type
class NodeQueries:
    @strawberry.field(
        description="Anything by its id; null where there is nothing that you may see.",
        extensions=[Requires(Role.VIEWER), NullIfNotFound()],
    )
    async def node(
        self,
        info: Info,
        node_id: Annotated[
            strawberry.ID, strawberry.argument(name="id", description="An id of any kind.")
        ],
    ) -> Node | None:
        named = ids.parse(node_id)
        if named is None:
            return None
        return await _FINDERS[named.kind](info.context.viewer, named.key)


async def _user(viewer: Viewer, key: UUID) -> Node:
    return User.of(await accounts.get_user(viewer, key))


async def _dataset(viewer: Viewer, key: UUID) -> Node:
    return Dataset.of(await datasets.get(viewer, key))


async def _model(viewer: Viewer, key: UUID) -> Node:
    return Model.of(await base_models.get(viewer, key))


async def _version(viewer: Viewer, key: UUID) -> Node:
    return ModelVersion.of(await versions.get(viewer, key))


async def _job(viewer: Viewer, key: UUID) -> Node:
    return TrainingJob.of(await lifecycle.get(viewer, key))


async def _checkpoint(viewer: Viewer, key: UUID) -> Node:
    row = await CheckpointRow.get_or_none(id=key)
    if row is None:
        raise NotFound("checkpoint", key)
    _ = await lifecycle.get(viewer, row.job_id)  # who may not see the job may not see this
    return Checkpoint.of(row)


async def _evaluation(viewer: Viewer, key: UUID) -> Node:
    return Evaluation.of(await evaluations.get(viewer, key))


async def _export(viewer: Viewer, key: UUID) -> Node:
    return Export.of(await exports.get(viewer, key))


async def _generation(viewer: Viewer, key: UUID) -> Node:
    return Generation.of(await generations.get(viewer, key))


async def _upload(viewer: Viewer, key: UUID) -> Node:
    return Upload.of(await uploads.get(viewer, key))


async def _token_examination(viewer: Viewer, key: UUID) -> Node:
    return TokenExamination.of(await examining.get(viewer, key))


_FINDERS: Final[Mapping[ids.Kind, Callable[[Viewer, UUID], Awaitable[Node]]]] = {
    ids.Kind.USER: _user,
    ids.Kind.DATASET: _dataset,
    ids.Kind.MODEL: _model,
    ids.Kind.VERSION: _version,
    ids.Kind.JOB: _job,
    ids.Kind.CHECKPOINT: _checkpoint,
    ids.Kind.EVALUATION: _evaluation,
    ids.Kind.EXPORT: _export,
    ids.Kind.GENERATION: _generation,
    ids.Kind.UPLOAD: _upload,
    ids.Kind.EXAMINATION: _token_examination,
}
