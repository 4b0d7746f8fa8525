"""Every benchmark can still be started: what it measures has not moved away from it."""

from importlib import import_module
from pathlib import Path

import pytest

import benchmarks

ROOT = Path(benchmarks.__path__[0])
MODULES = [*ROOT.glob("[a-z]*.py"), *ROOT.glob("*/__main__.py")]


@pytest.mark.parametrize(
    "name", [".".join(each.relative_to(ROOT.parent).with_suffix("").parts) for each in MODULES]
)
def test_what_a_benchmark_measures_is_where_it_looks_for_it(name: str) -> None:
    assert import_module(name).__doc__
