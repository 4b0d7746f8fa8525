"""Every document fits the schema that is served."""

from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from api.client import documents

SCHEMA = build_schema(
    (Path(__file__).parents[3] / "schema" / "schema.graphql").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", documents.__all__)
def test_a_document_is_valid_against_the_schema(name: str) -> None:
    document = parse(getattr(documents, name))
    assert validate(SCHEMA, document) == []
    assert len(document.definitions) == 1


def test_every_document_is_listed() -> None:
    texts = [name for name in vars(documents) if name.isupper() and not name.startswith("_")]
    assert sorted(texts) == sorted(documents.__all__)
