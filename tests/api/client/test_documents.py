"""Every document fits the schema that is served."""

from pathlib import Path
from types import ModuleType

import pytest
from graphql import build_schema, parse, validate

from api.client import dataset_documents, documents, fragments, version_documents

SCHEMA = build_schema(
    (Path(__file__).parents[3] / "schema" / "schema.graphql").read_text(encoding="utf-8")
)


MODULES = (documents, dataset_documents, version_documents)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in MODULES for name in module.__all__]
)
def test_a_document_is_valid_against_the_schema(module: ModuleType, name: str) -> None:
    document = parse(getattr(module, name))
    assert validate(SCHEMA, document) == []
    assert len(document.definitions) == 1


@pytest.mark.parametrize("module", MODULES)
def test_every_document_is_listed(module: ModuleType) -> None:
    texts = {name for name in vars(module) if name.isupper() and not name.startswith("_")}
    assert texts - set(fragments.__all__) == set(module.__all__)
