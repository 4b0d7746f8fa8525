"""The C++ compiler with which kernels are made on the machine that runs them."""

import os
import shutil
from typing import Final

_COMPILERS: Final = ("c++", "g++", "clang++")


def find_compiler() -> str | None:
    """The command that starts it; None where there is none."""
    return os.environ.get("CXX") or next(filter(None, map(shutil.which, _COMPILERS)), None)
