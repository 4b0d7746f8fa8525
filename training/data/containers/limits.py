"""How much of a machine one file may take, whoever wrote it."""

from dataclasses import dataclass
from typing import Final

__all__ = ["CHUNK_BYTES", "Limits"]

CHUNK_BYTES: Final = 256 * 1024
"""Read at once."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what reading a file may cost. A row beyond them is refused, the rest is read."""

    row_bytes: int = 4 * 1024 * 1024
    """Of one line, one element of a JSON array, or one row; a book of 1,500 pages has 3 MB. JSON
    of nothing but brackets takes some thirty times as much once it is parsed."""
    expansion: int = 200
    """Decompressed bytes for each compressed one. Text compresses 3 to 20 times, the most
    repetitive logs 100 times, and a bomb in gzip 1,000 times."""
    expansion_from_bytes: int = 64 * 1024 * 1024
    """Decompressed bytes from which on that ratio is held to."""
    entries: int = 50_000
    """Files in an archive, folders and links counted."""
    directory_bytes: int = 8 * 1024 * 1024
    """Of a zip archive's list of its files, which is read as a whole; 50,000 entries have 6 MB."""
