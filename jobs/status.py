"""The states of a training job, a background task and an upload, and the moves between them.

A move is one `UPDATE … WHERE status = <from>`: whoever loses the race changes nothing.
"""

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """Where a training job stands."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    TRAINING = "TRAINING"
    VALIDATING = "VALIDATING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class TaskStatus(StrEnum):
    """Where an export, the making of a dataset, or the check of a newly registered model, stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    READY = "READY"
    FAILED = "FAILED"


class UploadStatus(StrEnum):
    """Whether a file that is sent in parts is whole."""

    RECEIVING = "RECEIVING"
    READY = "READY"


class VersionStatus(StrEnum):
    """Where a model version stands; one ACTIVE version a model.

    It is TRAINING while its job goes on or rests, and leaves that with it: READY where the job is
    COMPLETED, FAILED where it ends otherwise. READY and DEPRECATED become ACTIVE, and ACTIVE
    DEPRECATED.
    """

    TRAINING = "TRAINING"
    READY = "READY"
    ACTIVE = "ACTIVE"
    DEPRECATED = "DEPRECATED"
    FAILED = "FAILED"


TRAINED: Final = frozenset({VersionStatus.READY, VersionStatus.ACTIVE, VersionStatus.DEPRECATED})
"""A version has files and figures in one of these."""


class ActivationKind(StrEnum):
    """How a version came into production."""

    ACTIVATION = "ACTIVATION"
    ROLLBACK = "ROLLBACK"


_S = JobStatus

MOVES: Final = {
    _S.QUEUED: frozenset({_S.PREPARING, _S.PAUSED, _S.CANCELLED, _S.FAILED}),
    _S.PREPARING: frozenset(
        {_S.TRAINING, _S.VALIDATING, _S.COMPLETED, _S.PAUSING, _S.CANCELLING, _S.QUEUED, _S.FAILED}
    ),
    _S.TRAINING: frozenset({_S.VALIDATING, _S.PAUSING, _S.CANCELLING, _S.QUEUED, _S.FAILED}),
    _S.VALIDATING: frozenset({_S.COMPLETED, _S.PAUSING, _S.CANCELLING, _S.QUEUED, _S.FAILED}),
    _S.PAUSING: frozenset({_S.PAUSED, _S.CANCELLING, _S.COMPLETED, _S.FAILED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.COMPLETED, _S.FAILED}),
    _S.COMPLETED: frozenset[JobStatus](),
    _S.FAILED: frozenset[JobStatus](),
    _S.CANCELLED: frozenset[JobStatus](),
}
"""The one table of legal moves.

CANCELLING and PAUSING may still end COMPLETED: the run was faster. PREPARING may jump ahead: an earlier attempt
had come so far, and its worker died before it could say so.
"""

ENDED: Final = frozenset(status for status, targets in MOVES.items() if not targets)
HELD: Final = frozenset({_S.PREPARING, _S.TRAINING, _S.VALIDATING, _S.PAUSING, _S.CANCELLING})
"""A worker holds a lease on a job in one of these."""


def sources(to: JobStatus) -> list[JobStatus]:
    """The states from which a job may move to `to`."""
    return [status for status, targets in MOVES.items() if to in targets]
