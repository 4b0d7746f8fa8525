"""A first look at a dataset of the hub: which files are the split that is wanted, at which commit."""

from collections.abc import Iterable
from typing import Final

from huggingface_hub import DatasetInfo, HfApi
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.hf_api import RepoSibling

from training.data.hub.errors import HubUnavailable
from training.data.hub.layout import DEFAULT, Layout, converted_layout, layout_of
from training.data.hub.patience import Patience
from training.data.hub.plan import HubFile, HubSplit, Plan

__all__ = ["look"]

_CONVERTED: Final = "refs/convert/parquet"
_TIMEOUT_SECONDS: Final = 30
_SHOWN: Final = 20


def look(wanted: HubSplit, patience: Patience) -> Plan:
    """The files of a split. `HubUnavailable` where there is no such configuration or split, and what
    the hub raises for a dataset or revision that it does not give."""
    info = _info(wanted.repository, wanted.revision, patience)
    layout = layout_of(_paths(info), getattr(info.card_data, "configs", None))
    if not layout and wanted.revision is None:
        try:
            info = _info(wanted.repository, _CONVERTED, patience)
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
    names = layout[config][wanted.split]
    found = {each.rfilename: each for each in info.siblings or []}
    return Plan(
        wanted=wanted,
        config=config,
        commit=str(info.sha),
        is_partial=any("/partial-" in name for name in names),
        files=tuple(_file(found[name]) for name in names),
    )


def _file(found: RepoSibling) -> HubFile:
    if found.size is None:
        raise HubUnavailable(
            "HUB_OUT_OF_REACH",
            f"it does not tell the size of {found.rfilename}",
            "See that HF_ENDPOINT of the workers is a hub, or upload the files.",
        )
    return HubFile(
        name=found.rfilename,
        size_bytes=found.size,
        sha256=found.lfs and found.lfs.sha256,
        git_id=None if found.lfs else found.blob_id,
    )


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


def _info(repository: str, revision: str | None, patience: Patience) -> DatasetInfo:
    return patience.answer(
        lambda: HfApi().dataset_info(
            repository, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
    )


def _paths(info: DatasetInfo) -> list[str]:
    return [each.rfilename for each in info.siblings or []]


def _listed(names: Iterable[str]) -> str:
    first = list(names)[:_SHOWN]
    return ", ".join(name[:100] for name in first)
