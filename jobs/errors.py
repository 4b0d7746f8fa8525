"""The errors a caller can expect, and nothing else.

* TuneryError
  + InvalidInput        INVALID           one or many findings about what was sent
  + NotFound            NOT_FOUND         no such thing, or none that this viewer may see
  + Conflict            CONFLICT          the thing's state does not allow it
    - InUse             IN_USE            something still needs it
    - QuotaExceeded     QUOTA_EXCEEDED    the account has too much on its way in
    - WrongOffset       WRONG_OFFSET      a part of an upload does not follow on what is there
    - UploadBusy        UPLOAD_BUSY       another request is sending the same upload
  + TooLarge            TOO_LARGE         more bytes than may be sent, or than were announced
  + LengthMissing       LENGTH_MISSING    the file's size was told nowhere
  + ChecksumMismatch    CHECKSUM_MISMATCH what arrived is not what was announced
  + Interrupted         INTERRUPTED       a transfer fell silent; what arrived is kept
  + StorageFull         STORAGE_FULL      the disk has no room for what arrives
  + Unauthenticated     UNAUTHENTICATED   no token, or one that does not hold
  + Forbidden           FORBIDDEN         the role does not allow it
  + Unavailable         UNAVAILABLE       a part of the service is not to be had now
  + LeaseLost           LEASE_LOST        another worker holds the work (never leaves this package)

Each leaf has a stable code, a message that names the value, and a remedy where there is one.
"""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from training.validation import Finding, Severity

__all__ = [
    "ChecksumMismatch",
    "Conflict",
    "Forbidden",
    "InUse",
    "Interrupted",
    "InvalidInput",
    "LeaseLost",
    "LengthMissing",
    "NotFound",
    "QuotaExceeded",
    "StorageFull",
    "TooLarge",
    "TuneryError",
    "Unauthenticated",
    "Unavailable",
    "UploadBusy",
    "WrongOffset",
]


class TuneryError(Exception):
    """Base of every expected failure."""

    code: ClassVar[str] = "ERROR"

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


class InvalidInput(TuneryError):
    """What was sent cannot be taken; `findings` name every place and how to mend it."""

    code = "INVALID"

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.args = (message, findings)
        self.findings = tuple(findings)

    @classmethod
    def at(cls, path: Sequence[str], message: str, *, code: str, remedy: str) -> "InvalidInput":
        """One error at one input path."""
        finding = Finding(
            severity=Severity.ERROR,
            code=code,
            path=tuple(path),
            message=message,
            remedy=remedy,
            suggested_patch=None,
        )
        return cls(message, [finding])


class NotFound(TuneryError):
    """There is no such thing, or the viewer may not know of it: the two are never told apart."""

    code = "NOT_FOUND"

    def __init__(self, kind: str, key: UUID | str) -> None:
        super().__init__(f"There is no {kind} {str(key)!r} that you can see.")
        self.args = (kind, key)
        self.kind = kind
        self.key = key


class Conflict(TuneryError):
    """The thing's present state does not allow this."""

    code = "CONFLICT"


class InUse(Conflict):
    """Something still needs it; `job_ids` are the jobs that do."""

    code = "IN_USE"

    def __init__(self, message: str, remedy: str, job_ids: Sequence[UUID]) -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, job_ids)
        self.job_ids = tuple(job_ids)


class QuotaExceeded(Conflict):
    """The account's uploads, and what is fetched for it, would take up more than they may together."""

    code = "QUOTA_EXCEEDED"


class WrongOffset(Conflict):
    """A part does not begin where the upload ends; `offset` is where it does, in bytes."""

    code = "WRONG_OFFSET"

    def __init__(self, sent: int, offset: int) -> None:
        super().__init__(
            f"The part begins at byte {sent}, but the upload goes on at byte {offset}.",
            f"Send the rest from byte {offset} on.",
        )
        self.args = (sent, offset)
        self.offset = offset


class UploadBusy(Conflict):
    """Another request is sending the same upload."""

    code = "UPLOAD_BUSY"


class TooLarge(TuneryError):
    """More bytes than the service takes, or than were announced."""

    code = "TOO_LARGE"


class LengthMissing(TuneryError):
    """Neither a length nor a range tells how large the file is."""

    code = "LENGTH_MISSING"


class ChecksumMismatch(TuneryError):
    """The file that arrived has another sha256 than was announced; it begins anew."""

    code = "CHECKSUM_MISMATCH"


class Interrupted(TuneryError):
    """A transfer broke off or fell silent; what arrived is kept."""

    code = "INTERRUPTED"


class StorageFull(TuneryError):
    """The disk has no room for what arrives; what was there before is intact."""

    code = "STORAGE_FULL"


class Unauthenticated(TuneryError):
    """There is no token, or it is expired, forged or of the wrong kind."""

    code = "UNAUTHENTICATED"


class Forbidden(TuneryError):
    """The viewer's role does not allow this."""

    code = "FORBIDDEN"


class Unavailable(TuneryError):
    """A part of the service is out of reach for now."""

    code = "UNAVAILABLE"


class LeaseLost(TuneryError):
    """The work now belongs to another worker; whoever sees this stops touching it."""

    code = "LEASE_LOST"
