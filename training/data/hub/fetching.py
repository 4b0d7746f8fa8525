"""The files of one split of a hub dataset, brought here at one commit.

`HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` in the environment mean what they mean to
`huggingface_hub`. Files are data: nothing of a repository is executed.
"""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx2
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from training.data.hub.choosing import look
from training.data.hub.download import download
from training.data.hub.errors import HubUnavailable
from training.data.hub.patience import Patience
from training.data.hub.plan import HubFile, HubSplit, Plan, keep_plan, kept_plan
from training.locking import LOCK, folder_lock

__all__ = ["HubFiles", "fetch"]


class HubFiles(NamedTuple):
    """A split that is here."""

    plan: Plan
    paths: list[Path]
    """Of the plan's files."""


def fetch(
    wanted: HubSplit,
    folder: Path,
    *,
    max_bytes: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> HubFiles:
    """Download the files of a split into a folder, and go on with what an earlier call left there.

    `progress` is told bytes that are here and bytes in all, and the same again while the hub is
    waited for. `HubUnavailable` where there is no such dataset, configuration or split, where it is
    closed, too large, or the hub out of reach.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with folder_lock(folder, wait_seconds=math.inf):  # for a former child, which is being ended
            return _fetch(wanted, folder, max_bytes=max_bytes, progress=progress)
    except GatedRepoError:
        raise HubUnavailable(
            "HUB_DATASET_GATED",
            f"{wanted.repository} is open only to those who accepted its terms",
            "Accept them at the hub, and set HF_TOKEN of the workers to a token of that account.",
        ) from None
    except RevisionNotFoundError:
        raise HubUnavailable(
            "HUB_REVISION_NOT_FOUND",
            f"{wanted.repository} has no revision {wanted.revision}",
            "Name a branch, a tag or a commit, or leave the revision out.",
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise HubUnavailable(
            "HUB_DATASET_NOT_FOUND",
            f"there is no dataset {wanted.repository[:100]}, or it is private",
            "Check the id, which is OWNER/NAME; for a private one set HF_TOKEN of the workers.",
        ) from None
    except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled) as error:
        raise _out_of_reach(error) from None


def _out_of_reach(error: Exception) -> HubUnavailable:
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return HubUnavailable(
            "HUB_TOKEN_REFUSED",
            f"the hub refuses what it was asked with: {_first_line(error)}",
            "See that HF_TOKEN of the workers is valid and may read this dataset.",
        )
    return HubUnavailable(
        "HUB_OUT_OF_REACH",
        f"the hub did not answer as it should: {_first_line(error)}",
        "Try again later, or upload the files.",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _fetch(
    wanted: HubSplit, folder: Path, *, max_bytes: int, progress: Callable[[int, int], None]
) -> HubFiles:
    received = _Received(progress)
    patience = Patience(received.tell)
    plan = kept_plan(folder)
    if plan is not None and plan.wanted == wanted:
        try:
            return _here(plan, folder, max_bytes, received, patience)
        except (RevisionNotFoundError, EntryNotFoundError):
            pass  # the commit is gone, and half of it is of no use
    for left in folder.iterdir():
        if left.name != LOCK:
            left.unlink()
    plan = look(wanted, patience)
    keep_plan(plan, folder)
    return _here(plan, folder, max_bytes, received, patience)


def _here(
    plan: Plan, folder: Path, max_bytes: int, received: "_Received", patience: Patience
) -> HubFiles:
    total = plan.size_bytes
    if total > max_bytes:
        raise HubUnavailable(
            "HUB_DATASET_TOO_LARGE",
            f"its files have {total:,} bytes; at most {max_bytes:,} are taken",
            "Choose a smaller configuration or split, or upload a part of it.",
        )
    _refuse_if_full(plan, folder)
    received.expect(total)
    paths = [folder / f"{number:05}" for number in range(len(plan.files))]
    for file, path in zip(plan.files, paths, strict=True):
        if not path.exists():
            download(_url(plan, file), file, path, patience=patience, told=received.hear)
        received.settle(file.size_bytes)
    return HubFiles(plan, paths)


def _refuse_if_full(plan: Plan, folder: Path) -> None:
    """See before it is written that there is room for what is still to come."""
    here = sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if plan.size_bytes - here > free:
        raise HubUnavailable(
            "DISK_FULL",
            f"its files have {plan.size_bytes:,} bytes, and only {free:,} are free on the disk",
            "Free some space and make the dataset again, or choose a smaller split.",
        )


def _url(plan: Plan, file: HubFile) -> str:
    return hf_hub_url(plan.wanted.repository, file.name, repo_type="dataset", revision=plan.commit)


class _Received:
    """How much is here; what has to come a second time is not told as a loss."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._total = 0
        self._settled = 0
        self._most = 0

    def expect(self, total: int) -> None:
        """So many bytes are to come, or here already."""
        self._total, self._settled, self._most = total, 0, 0
        self.tell()

    def hear(self, size: int) -> None:
        """So much is here of the file under way."""
        self._most = min(self._total, max(self._most, self._settled + size))
        self.tell()

    def settle(self, size: int) -> None:
        """The file under way is whole."""
        self._settled += size
        self.hear(0)

    def tell(self) -> None:
        """Say it, again if need be."""
        self._progress(self._most, self._total)
