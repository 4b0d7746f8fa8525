"""The files of one split of a hub dataset, brought here at one commit.

`HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` in the environment mean what they mean to
`huggingface_hub`. Files are data: nothing of a repository is executed.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
from huggingface_hub import DatasetInfo, HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from training.data.hub.errors import HubUnavailable
from training.data.hub.layout import DEFAULT, Layout, converted_layout, layout_of

__all__ = ["HubFiles", "HubSplit", "fetch"]

_CONVERTED: Final = "refs/convert/parquet"
_TIMEOUT_SECONDS: Final = 30
_SHOWN: Final = 20


class HubSplit(NamedTuple):
    """What of the hub is wanted. Without a configuration it is the only or the default one,
    without a revision the newest."""

    repository: str
    split: str
    config: str | None = None
    revision: str | None = None


class HubFiles(NamedTuple):
    """A split that is here."""

    config: str
    commit: str
    """Of the repository, in full: with it the same files can be had again."""
    is_partial: bool
    """Whether the hub converted the beginning alone, which it does with very large datasets."""
    paths: list[Path]
    """In the order of their rows."""
    names: list[str]
    """Their paths in the repository."""


def fetch(
    wanted: HubSplit,
    folder: Path,
    *,
    max_bytes: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> HubFiles:
    """Download the files of a split into a folder; those that are whole there are kept, and a
    connection that breaks goes on where it broke.

    `progress` is told bytes that are here and bytes in all. `HubUnavailable` where there is no
    such dataset, configuration or split, where it is closed, too large, or the hub out of reach.
    """
    try:
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
    except (
        HfHubHTTPError,
        httpx2.HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    ) as error:
        raise HubUnavailable(
            "HUB_OUT_OF_REACH",
            f"the hub did not answer as it should: {str(error).strip().splitlines()[0][:200]}",
            "Try again later, or upload the files.",
        ) from None


def _fetch(
    wanted: HubSplit, folder: Path, *, max_bytes: int, progress: Callable[[int, int], None]
) -> HubFiles:
    config, names, info = _chosen(wanted)
    sizes = {each.rfilename: each.size or 0 for each in info.siblings or []}
    total = sum(sizes[name] for name in names)
    received = _Received(total, max_bytes, progress)
    received.add(0)
    paths = []
    for name in names:
        path = hf_hub_download(
            wanted.repository,
            name,
            repo_type="dataset",
            revision=info.sha,
            local_dir=folder,
            tqdm_class=received.bar,
        )
        paths.append(Path(path))
        received.settle(sizes[name])
    is_partial = any("/partial-" in name for name in names)
    return HubFiles(config, str(info.sha), is_partial, paths, names)


def _chosen(wanted: HubSplit) -> tuple[str, list[str], DatasetInfo]:
    """The configuration, the paths of its split, and the commit that they are of."""
    info = _info(wanted.repository, wanted.revision)
    layout = layout_of(_paths(info), getattr(info.card_data, "configs", None))
    if not layout and wanted.revision is None:
        try:
            info = _info(wanted.repository, _CONVERTED)
        except RevisionNotFoundError:
            pass
        else:
            layout = converted_layout(_paths(info))
    config = _config(wanted, layout)
    if wanted.split not in layout[config]:
        raise HubUnavailable(
            "HUB_SPLIT_UNKNOWN",
            f"{wanted.repository} has no split {wanted.split[:100]} in its configuration {config}",
            f"It has {_listed(layout[config])}.",
        )
    return config, layout[config][wanted.split], info


def _config(wanted: HubSplit, layout: Layout) -> str:
    if not layout:
        raise HubUnavailable(
            "HUB_FILES_UNREADABLE",
            f"{wanted.repository} has no Parquet, JSONL, JSON or CSV files",
            "Write its rows to such a file and upload it.",
        )
    if wanted.config in layout:
        return str(wanted.config)
    if wanted.config is None and (DEFAULT in layout or len(layout) == 1):
        return DEFAULT if DEFAULT in layout else next(iter(layout))
    asked = f"no configuration {wanted.config[:100]}" if wanted.config else "several configurations"
    raise HubUnavailable(
        "HUB_CONFIG_UNKNOWN",
        f"{wanted.repository} has {asked}",
        f"Choose one of {_listed(layout)}.",
    )


def _info(repository: str, revision: str | None) -> DatasetInfo:
    return HfApi().dataset_info(
        repository, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
    )


def _paths(info: DatasetInfo) -> list[str]:
    return [each.rfilename for each in info.siblings or []]


def _listed(names: Iterable[str]) -> str:
    first = list(names)[:_SHOWN]
    return ", ".join(name[:100] for name in first)


class _Received:
    """How much is here, within the limit, whatever sizes the hub told before."""

    def __init__(self, total: int, max_bytes: int, progress: Callable[[int, int], None]) -> None:
        self._total = total
        self._max_bytes = max_bytes
        self._progress = progress
        self._settled = 0
        self._current = 0

    def add(self, size: int) -> None:
        """Count these bytes of the file under way."""
        self._current += size
        done = self._settled + self._current
        if max(done, self._total) > self._max_bytes:
            raise HubUnavailable(
                "HUB_DATASET_TOO_LARGE",
                f"its files have {max(done, self._total):,} bytes; at most "
                f"{self._max_bytes:,} are taken",
                "Choose a smaller configuration or split, or upload a part of it.",
            )
        self._progress(done, self._total)

    def settle(self, size: int) -> None:
        """The file under way is whole, however much of it was here before."""
        self._settled += size
        self._current = 0
        self.add(0)

    @property
    def bar(self) -> type[tqdm]:
        """A bar that shows nothing and counts here."""
        add = self.add

        class Bar(tqdm):
            def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
                super().__init__(disable=True)  # type: ignore[no-untyped-call]  # tqdm has no types
                add(initial)

            def update(self, n: float | None = 1) -> None:
                add(int(n or 0))

        return Bar
