"""The C++ compiler of this machine. Imports nothing heavy, so that a service can ask for it."""

import os
import shutil
import sys
from typing import Final

_NAMES: Final = ("c++", "g++", "clang++")


class NoCompiler(Exception):
    """Kernels cannot be compiled here; the words say why."""


def compiler() -> str:
    """The one that `CXX` names, or the first that is installed. Raises `NoCompiler`."""
    if sys.platform != "linux":
        raise NoCompiler(f"kernels are compiled on Linux, and this is {sys.platform}")
    named = os.environ.get("CXX")
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    if found is None:
        wanted = f"{named}, which CXX names, is not there" if named else "there is no C++ compiler"
        raise NoCompiler(f"{wanted}; install one, such as Debian's g++")
    return found


def has_compiler() -> bool:
    """Whether there is one."""
    try:
        compiler()
    except NoCompiler:
        return False
    return True
