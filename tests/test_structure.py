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


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", OWN, ids=_name)
def test_a_module_opens_with_a_docstring_and_keeps_to_its_size(path: Path) -> None:
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", OWN, ids=_name)
def test_a_functions_body_keeps_to_its_size(path: Path) -> None:
    too_long = {
        node.name: length
        for node in ast.walk(ast.parse(path.read_text()))
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


@pytest.mark.parametrize(
    "module", ["api.app", "api.cli", "schema.root", "jobs.worker", "jobs.service"]
)
def test_the_service_never_loads_torch(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
