"""A training child that says, where it would import torch, what torch would find, and leaves.

Run as `training.run` is: `python -P -m tests.training.first_import JOB_DIR --lifeline`.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from training import run


class FirstImport:
    """Stands before every other finder of modules."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torch":
            print(json.dumps(dict(os.environ)), flush=True)  # noqa: T201 - that is the answer
            os._exit(0)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, FirstImport())
    sys.exit(run.main(sys.argv[1:]))
