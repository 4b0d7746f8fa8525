"""The weights of a model folder by the headers of its safetensors files, no value read."""

import json
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from training.errors import ModelUnreadable

_DTYPES: Final = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LARGEST_HEADER: Final = 100 * 2**20
"""The format's own limit, in bytes."""


class StoredWeights(NamedTuple):
    """What the weight files of a folder say they hold."""

    shapes: Mapping[str, tuple[int, ...]]
    dtype: str
    """The element type of most elements, by torch's name."""
    size_bytes: int
    headers: bytes
    """All headers, in the order of the files' names."""


def stored_weights(folder: Path) -> StoredWeights:
    """Read the headers. Raises `ModelUnreadable` where a file is missing, cut off or no such file."""
    shapes: dict[str, tuple[int, ...]] = {}
    elements: Counter[str] = Counter()
    headers = []
    paths = weight_files(folder)
    for path in paths:
        header = _header(path)
        headers.append(header)
        for name, entry in json.loads(header).items():
            if name == "__metadata__":
                continue
            shapes[name] = tuple(entry["shape"])
            elements[entry["dtype"]] += entry["data_offsets"][1] - entry["data_offsets"][0]
    dtype = elements.most_common(1)[0][0] if elements else "F32"
    return StoredWeights(
        shapes=shapes,
        dtype=_DTYPES.get(dtype, dtype.lower()),
        size_bytes=sum(path.stat().st_size for path in paths),
        headers=b"".join(headers),
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, by name. Raises `ModelUnreadable` where there are none or
    the index names one that is missing."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelUnreadable(folder.name, "its weight index is no valid index") from error
        paths = [folder / name for name in names]
    else:
        paths = sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelUnreadable(folder.name, f"the weight file {missing[0]} is missing")
    if not paths:
        raise ModelUnreadable(folder.name, "there is no safetensors file in it")
    return paths


def _header(path: Path) -> bytes:
    """The JSON header, once it is sure that the file holds what it announces."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LARGEST_HEADER + 1
        if length > min(size, _LARGEST_HEADER):
            raise ModelUnreadable(path.parent.name, f"{path.name} is no safetensors file")
        header = file.read(length)
    try:
        ends = [
            entry["data_offsets"][1]
            for name, entry in json.loads(header).items()
            if name != "__metadata__"
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnreadable(path.parent.name, f"{path.name} has a damaged header") from error
    if 8 + length + max(ends, default=0) != size:
        raise ModelUnreadable(path.parent.name, f"{path.name} is cut off or has trailing bytes")
    return header
