"""What a GGUF file says of its tensors, by its header alone.

The package's own reader makes an array of every word of the vocabulary, which takes seconds. The
layout is in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Iterator
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from training.export.exporters import Tensor

__all__ = ["tensors"]

_SIZES: Final = {
    GGUFValueType.UINT8: 1,
    GGUFValueType.INT8: 1,
    GGUFValueType.BOOL: 1,
    GGUFValueType.UINT16: 2,
    GGUFValueType.INT16: 2,
    GGUFValueType.UINT32: 4,
    GGUFValueType.INT32: 4,
    GGUFValueType.FLOAT32: 4,
    GGUFValueType.UINT64: 8,
    GGUFValueType.INT64: 8,
    GGUFValueType.FLOAT64: 8,
}


def tensors(path: Path) -> Iterator[Tensor]:
    """Every tensor of a whole file, in its order."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        header = _Header(content)
        tensor_count, value_count = header.take("4xIQQ")[1:]
        for _ in range(value_count):
            header.skip_text()
            header.skip_value(GGUFValueType(header.number("I")))
        for _ in range(tensor_count):
            header.skip_text()
            shape = header.take(f"{header.number('I')}Q")
            kind = GGMLQuantizationType(header.number("I"))
            header.number("Q")  # where its data begins
            block, block_bytes = GGML_QUANT_SIZES[kind]
            yield Tensor(kind.name, prod(shape), prod(shape) // block * block_bytes)


class _Header:
    """A place in a file, which moves on with all that is read."""

    def __init__(self, content: mmap) -> None:
        self._content = content
        self._place = 0

    def take(self, layout: str) -> tuple[int, ...]:
        """Numbers, by the letters of `struct`."""
        found = struct.unpack_from(f"<{layout}", self._content, self._place)
        self._place += struct.calcsize(f"<{layout}")
        return found

    def number(self, letter: str) -> int:
        """One of them."""
        return self.take(letter)[0]

    def skip_text(self) -> None:
        """Past a string."""
        length = self.number("Q")
        self._place += length

    def skip_value(self, kind: GGUFValueType) -> None:
        """Past a value, or all values of a list."""
        if kind is GGUFValueType.STRING:
            self.skip_text()
        elif kind is GGUFValueType.ARRAY:
            of, count = GGUFValueType(self.number("I")), self.number("Q")
            if of in _SIZES:
                self._place += count * _SIZES[of]
            else:
                for _ in range(count):
                    self.skip_value(of)
        else:
            self._place += _SIZES[kind]
