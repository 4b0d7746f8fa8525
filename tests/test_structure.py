"""The house's own rules: sizes, names, and what may be loaded."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("api", "schema", "jobs", "training")
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
OWN = [path for path in MODULES if "migrations" not in path.parts]

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """What is written in each module, by its path."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in OWN}


@pytest.fixture(scope="module")
def trees(sources: dict[str, str]) -> dict[str, ast.Module]:
    return {name: ast.parse(source) for name, source in sources.items()}


def test_every_module_opens_with_a_docstring(trees: dict[str, ast.Module]) -> None:
    assert len(trees) > 400
    assert [name for name, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_every_module_keeps_to_its_size(sources: dict[str, str]) -> None:
    lengths = {name: len(source.splitlines()) for name, source in sources.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_every_functions_body_keeps_to_its_size(trees: dict[str, ast.Module]) -> None:
    too_long = {
        f"{name}: {node.name}": length
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := _body_lines(node)) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    statements = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def test_the_four_names_are_ours() -> None:
    distributions = packages_distributions()  # an editable install of ours is not listed
    assert [floor for floor in FLOORS if distributions.get(floor, ["tunery"]) != ["tunery"]] == []
    program = f"import {', '.join(FLOORS)}; print(*[m.__file__ for m in ({', '.join(FLOORS)})])"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == [str(ROOT / floor / "__init__.py") for floor in FLOORS]


def test_the_service_never_loads_torch() -> None:
    """Nor do the modules of `jobs`, of which `test_database` asks it one by one."""
    program = (
        "import importlib, sys\n"
        "for module in ('schema.root', 'api.cli', 'api.app'):\n"
        "    importlib.import_module(module)\n"
        "    heavy = {'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)\n"
        "    assert not heavy, (module, heavy)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
