"""What torch, transformers and peft import without a use in a training child, left out of it.

They take half as long without. Nothing that runs is another for it: what a function is told to be
left alone by is not there until somebody asks for it, and then all of it is.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_loader
from types import ModuleType
from typing import Final

_COMPILER: Final = "torch._dynamo"
_READ_WITHOUT_IT: Final = ("config", "_trace_wrapped_higher_order_op")
"""Parts of the compiler that others read, and that need nothing else of it."""
_MARKS: Final = ("allow_in_graph", "assume_constant_result", "disallow_in_graph", "nonstrict_trace")
"""What says how to compile a function, and gives that function back."""


@contextmanager
def lean_imports(*, alone: bool) -> Iterator[None]:
    """Import libraries in this block without what no run has a use for: torch's compiler, and the names
    of all classes in each of transformers' four hundred folders of models, read a second time; for a
    process that trains `alone` also what splits a model among several.

    The compiler is imported in the end where a library asks for more of it than to pass over a function.
    """
    import torch  # heavy, in a block that is for heavy imports

    _defer_compiler()
    found = torch.distributed.is_available
    if alone:  # as in a build of torch without it, which the libraries are made for
        torch.distributed.is_available = lambda: False
    try:
        _leave_out_index()
        yield
    finally:
        torch.distributed.is_available = found


def _leave_out_index() -> None:
    """Let transformers find its models by their names alone, of which `transformers` has a list."""
    name = "transformers.models"
    import_module("transformers")
    if name not in sys.modules:
        sys.modules[name] = _unexecuted(name)


def _defer_compiler() -> None:
    if _COMPILER in sys.modules:
        return
    module = sys.modules[_COMPILER] = _unexecuted(_COMPILER)
    for part in _READ_WITHOUT_IT:
        import_module(f"{_COMPILER}.{part}")
    sys.meta_path.insert(0, _Finder(module))
    module.__class__ = _Deferred
    vars(module).update(dict.fromkeys(_MARKS, _as_it_is))
    vars(module).update(disable=_disable, graph_break=_no_break)


def _unexecuted(name: str) -> ModuleType:
    spec = find_spec(name)
    assert spec is not None  # noqa: S101 - a part of what is installed
    return module_from_spec(spec)


def _as_it_is(function: object) -> object:
    return function


def _disable(function: object = None, *_recursive: bool, **_options: object) -> object:
    """What keeps the compiler from a function, or makes a decorator that does."""
    return _as_it_is if function is None else function


def _no_break(_message: str = "") -> None:
    """Where a function that is compiled would be cut in two; that of the optimizers is not."""


class _Deferred(ModuleType):
    """A package that is executed when first it is asked for what it does not have."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        _execute(self)
        return getattr(self, name)


class _Finder:
    """Has a deferred package executed before any part of it is imported."""

    def __init__(self, package: ModuleType) -> None:
        self._package = package

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{self._package.__name__}."):
            return None
        _execute(self._package)
        part = sys.modules.get(name)
        if part is None:
            return None
        part.__spec__ = spec_from_loader(name, _Imported(part))  # which Python prefers to any other
        return part.__spec__


class _Imported(Loader):
    """Loads a module by finding it loaded."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """It was; only what tells of that is put back."""
        module.__spec__ = self._spec


def _execute(package: ModuleType) -> None:
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Finder)]
    if isinstance(package, _Deferred):
        package.__class__ = ModuleType  # type: ignore[assignment]  # from now on it is no other
        assert package.__spec__ is not None and package.__spec__.loader is not None  # noqa: S101, PT018
        package.__spec__.loader.exec_module(package)
