"""Files that are either whole or not there: temp name, fsync, manifest, rename."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from safetensors import SafetensorError

from training.config import Frozen
from training.errors import DiskFull

MANIFEST: Final = "manifest.json"


class FileEntry(Frozen):
    """A file of a folder; `name` is relative to it."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(Frozen):
    """Every other file of a folder, by name."""

    files: tuple[FileEntry, ...]


def write_whole(path: Path, content: bytes) -> None:
    """Write or replace a file so that no reader ever sees a part of it."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name whose file becomes `path` once the block ends well.

    Raises `DiskFull` naming `path` where no space is left.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with disk_full_named(path):
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path`, with a manifest, once the block ends well.

    What lay at `path` is replaced; where the block fails, it stays. A kill between the removal of
    the old and the naming of the new leaves neither, so that only what can be made again may be
    replaced. Raises `DiskFull` naming `path` where no space is left.
    """
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_full_named(path):
            temporary.mkdir(parents=True)
            yield temporary
            _finish(temporary)
            remove_folder(path)
            temporary.rename(path)
            _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Delete a folder, if it is there, so that a kill leaves it whole or under a hidden name."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers and removers left in a folder."""
    for pattern in (".*.partial", ".*.removed"):
        for leftover in folder.glob(pattern):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def damage(folder: Path, *, thorough: bool = True) -> str | None:
    """What is wrong with a folder by its manifest, or None. Not `thorough`: sizes alone."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        return f"its manifest cannot be read ({type(error).__name__})"
    for entry in manifest.files:
        path = folder / entry.name
        if not path.is_file():
            return f"{entry.name} is missing"
        if path.stat().st_size != entry.size_bytes:
            return f"{entry.name} has {path.stat().st_size} bytes instead of {entry.size_bytes}"
    if thorough:
        sums = _checksums(folder / entry.name for entry in manifest.files)
        for entry, checksum in zip(manifest.files, sums, strict=True):
            if checksum != entry.sha256:
                return f"{entry.name} has another checksum than when it was written"
    return None


def entries(folder: Path) -> tuple[FileEntry, ...]:
    """Every file below a folder, by name, the manifest left out."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    named.pop(MANIFEST, None)
    return tuple(
        FileEntry(name=name, size_bytes=path.stat().st_size, sha256=checksum)
        for (name, path), checksum in zip(named.items(), _checksums(named.values()), strict=True)
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    """The file's checksum in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksums(paths: Iterable[Path]) -> list[str]:
    """Of several files at once, on all cores: those of a checkpoint can be of gigabytes each."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(sha256_of, paths))


@contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turn the ways a full disk shows itself into `DiskFull` with the path's name."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path) from error
        raise
    except SafetensorError as error:
        if f"os error {errno.ENOSPC}" in str(error) or f"os error {errno.EDQUOT}" in str(error):
            raise DiskFull(path) from error
        raise


def _finish(folder: Path) -> None:
    """Make a folder's files durable, then write its manifest."""
    files = entries(folder)
    for entry in files:
        _sync(folder / entry.name)
    manifest = json.dumps(Manifest(files=files).model_dump(), indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(manifest + "\n")
    _sync(folder / MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
