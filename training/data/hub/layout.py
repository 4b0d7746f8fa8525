"""Which files of a hub repository are the rows of a split: told by its card, or by their names.

Both are rules that the hub documents ("Data files configuration", "Structure your repository"). A
script that a repository may hold is never run, and what only a script could tell is not read.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final, TypeAlias, TypeGuard

__all__ = ["DEFAULT", "Layout", "converted_layout", "layout_of"]

Layout: TypeAlias = dict[str, dict[str, list[str]]]
"""Paths by configuration and split."""

DEFAULT: Final = "default"
"""The configuration of a repository that names none."""

_FORMATS: Final = frozenset({"parquet", "jsonl", "ndjson", "json", "csv", "tsv"})
_PACKED: Final = frozenset({"gz", "zst"})
_ABOUT: Final = frozenset({"dataset_infos.json", "dataset_dict.json", "dataset_info.json"})
"""JSON that describes rows and holds none."""

_SPLITS: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD: Final = re.compile(r"(?:^|/)data/(\w+)-\d{5}-of-\d{5}\.")
_CONVERTED: Final = re.compile(r"([^/]+)/(?:partial-)?([^/]+)/\d+\.parquet")


def layout_of(paths: Collection[str], configs: object) -> Layout:
    """By the `configs` of a card where there are any, by the names of the files otherwise."""
    readable = sorted(path for path in paths if _format(path))
    named = [each for each in configs if isinstance(each, dict)] if _is_list(configs) else []
    layout = {
        str(each.get("config_name", DEFAULT)): _splits_of_config(each, readable) for each in named
    }
    return {name: splits for name, splits in layout.items() if splits} or {
        name: splits for name, splits in {DEFAULT: _splits_by_name(readable)}.items() if splits
    }


def converted_layout(paths: Iterable[str]) -> Layout:
    """Of the branch on which the hub keeps every dataset that it could convert, as Parquet."""
    layout: Layout = {}
    for path in sorted(paths):
        if found := _CONVERTED.fullmatch(path):
            layout.setdefault(found[1], {}).setdefault(found[2], []).append(path)
    return layout


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _format(path: str) -> str | None:
    """The format of a file with rows; None where it is none that is read."""
    name = PurePosixPath(path).name
    parts = name.casefold().split(".")
    if path.startswith(".") or name in _ABOUT or len(parts) < 2:
        return None
    ending = parts[-2] if parts[-1] in _PACKED and len(parts) > 2 else parts[-1]
    return ending if ending in _FORMATS else None


def _splits_of_config(config: Mapping[str, object], paths: list[str]) -> dict[str, list[str]]:
    folder = config.get("data_dir")
    if isinstance(folder, str):
        prefix = folder.strip("/") + "/"
        inside = [path for path in paths if path.startswith(prefix)]
    else:
        prefix, inside = "", paths
    files = config.get("data_files")
    if files is None:
        return _splits_by_name(inside)
    splits: dict[str, list[str]] = {}
    for split, patterns in _patterns(files):
        found = [
            path for pattern in patterns for path in inside if _matches(prefix + pattern, path)
        ]
        splits.setdefault(split, []).extend(found)
    return {split: _of_one_format(dict.fromkeys(found)) for split, found in splits.items() if found}


def _patterns(files: object) -> list[tuple[str, list[str]]]:
    """The patterns of each split, in any of the ways in which a card may write them."""
    if isinstance(files, dict):
        return [(str(split), _texts(patterns)) for split, patterns in files.items()]
    listed = files if isinstance(files, list) else [files]
    by_split = [
        (str(each["split"]), _texts(each.get("path")))
        for each in listed
        if isinstance(each, dict) and "split" in each
    ]
    return by_split or [("train", _texts(listed))]


def _texts(value: object) -> list[str]:
    return [
        each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)
    ]


def _matches(pattern: str, path: str) -> bool:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return (
        re.fullmatch("".join(wild.get(each, re.escape(each)) for each in pieces), path) is not None
    )


def _splits_by_name(paths: list[str]) -> dict[str, list[str]]:
    """Shards by the name before their number; others by a word in their path, or else all `train`."""
    found: dict[str, list[str]] = {}
    for path in paths:
        if shard := _SHARD.search(path):
            found.setdefault(shard[1], []).append(path)
    if not found:
        for path in paths:
            if split := _split_by_word(path):
                found.setdefault(split, []).append(path)
    splits = found or ({"train": paths} if paths else {})
    return {split: _of_one_format(files) for split, files in splits.items()}


def _split_by_word(path: str) -> str | None:
    """The split that the name tells, or else the nearest folder."""
    for part in reversed(PurePosixPath(path).parts):
        words = re.split(r"[^a-z]+", part.casefold())
        for split, known in _SPLITS.items():
            if any(word in known for word in words):
                return split
    return None


def _of_one_format(paths: Iterable[str]) -> list[str]:
    """Those of the commonest format: some repositories hold the same rows in several."""
    listed = list(paths)
    formats = Counter(_format(path) for path in listed)
    most = max(formats, key=lambda each: (formats[each], each == "parquet"))
    return [path for path in listed if _format(path) == most]
