"""The compiled kernels: made once for a machine, kept in the user's cache, loaded once a process.

What is compiled for one processor may not run on another, so a library is kept by what it was made of:
the sources, the compiler and the processor's features.
"""

import ctypes
import hashlib
import logging
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from training.devices.compiler import NoCompiler, compiler
from training.engine.native.signatures import signatures
from training.errors import DiskFull
from training.files import whole_file

_SOURCES: Final = Path(__file__).with_name("source")
_FLAGS: Final = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp",  # the runtime that torch has loaded already, and its threads
    "-fPIC",
    "-fvisibility=hidden",
)
_SECONDS: Final = 120

_log = logging.getLogger(__name__)


class Library(NamedTuple):
    """The kernels, or why there are none."""

    kernels: ctypes.CDLL | None
    reason: str | None
    multiplies_pairs: bool = False
    """Whether they include those for which the processor has to multiply in bf16."""


class _NotCompiled(Exception):
    """The compiler failed; the words say how."""


@cache
def library() -> Library:
    """This machine's kernels, compiled in a few seconds where they never were."""
    try:
        kernels = _declared(ctypes.CDLL(str(_compiled())))
    except (NoCompiler, _NotCompiled, DiskFull, OSError) as error:
        _log.warning("Tunery's own kernels for this CPU are not used: %s", error)
        return Library(None, str(error))
    return Library(kernels, None, multiplies_pairs=bool(kernels.multiplies_pairs()))


def _compiled() -> Path:
    program = compiler()
    sources = sorted(_SOURCES.iterdir())
    path = _folder() / f"kernels-{_digest(sources, program)}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        own = path.with_suffix(f".{os.getpid()}")  # others may be compiling as well
        with whole_file(own) as temporary:
            _compile(program, [each for each in sources if each.suffix == ".cpp"], temporary)
        own.replace(path)
    return path


def _folder() -> Path:
    cache_folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_folder) if cache_folder else Path.home() / ".cache") / "tunery" / "kernels"


def _digest(sources: list[Path], program: str) -> str:
    found = hashlib.sha256(repr((program, _FLAGS, _processor())).encode())
    for source in sources:
        found.update(source.read_bytes())
    return found.hexdigest()[:16]


def _processor() -> list[str]:
    """The first processor's name and features, as the kernel tells them."""
    told = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    first = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0]
    return [line for line in first.splitlines() if line.startswith(told)]


def _compile(program: str, sources: list[Path], target: Path) -> None:
    """Each source for itself, since there is more than one core, and then all together."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [str(Path(folder, f"{each.stem}.o")) for each in sources]
        commands = [
            [program, *_FLAGS, "-c", str(source), "-o", made]
            for source, made in zip(sources, objects, strict=True)
        ]
        list(pool.map(_run, commands))
        _run([program, *_FLAGS, "-shared", *objects, "-o", str(target)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - a compiler
    except subprocess.TimeoutExpired as error:
        raise _NotCompiled(f"{command[0]} took more than {_SECONDS} seconds") from error
    if done.returncode:
        raise _NotCompiled(f"{command[0]} failed: {_first_error(done.stderr) or done.returncode}")


def _first_error(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return next(iter([*errors, *lines]), "").removeprefix("#error ").strip('"')


def _declared(loaded: ctypes.CDLL) -> ctypes.CDLL:
    for name, (taken, given) in signatures(pairs=bool(loaded.multiplies_pairs())).items():
        kernel = getattr(loaded, name)
        kernel.argtypes = taken
        kernel.restype = given
    return loaded
