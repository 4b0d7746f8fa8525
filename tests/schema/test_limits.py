"""Operations that are too large, and the caches that make the others cheap."""

import time

import pytest
from strawberry.extensions.parser_cache import _get_parse_cache
from strawberry.extensions.validation_cache import _get_validate_cache

from schema.limits import CACHED_DOCUMENTS, MAX_ALIASES, MAX_DEPTH, MAX_DIRECTIVES
from schema.root import build_schema

SCHEMA = build_schema()


async def refused(query: str) -> str:
    result = await SCHEMA.execute(query)
    assert result.data is None
    assert result.errors
    assert {error.extensions["code"] for error in result.errors if error.extensions} == {
        "GRAPHQL_VALIDATION_FAILED"
    }
    return " ".join(error.message for error in result.errors)


async def test_an_operation_may_be_ten_levels_deep_and_no_deeper() -> None:
    step = "listTrainingJobs { edges { node { model { versions { edges { node { model {"
    assert step.count("{") + 2 == MAX_DEPTH
    deepest = "runningJobs { id }" + "}" * step.count("{")
    result = await SCHEMA.execute(f"{{ {step} {deepest} }}")
    assert "depth" not in str(result.errors)
    deeper = "runningJobs { model { id } }" + "}" * step.count("{")
    assert "depth is 11. Allowed: 10." in await refused(f"{{ {step} {deeper} }}")


async def test_aliases_are_counted_through_fragments() -> None:
    many = " ".join(f"a{n}: __typename" for n in range(MAX_ALIASES + 1))
    assert f"number of aliases is {MAX_ALIASES + 1}" in await refused(f"{{ {many} }}")
    some = " ".join(f"a{n}: __typename" for n in range(8))
    document = f"{{ ...F ...F }} fragment F on Query {{ {some} }}"
    assert "number of aliases is 16" in await refused(document)


async def test_directives_are_counted() -> None:
    many = "@include(if: true) " * (MAX_DIRECTIVES + 1)
    message = await refused(f"{{ __typename {many} }}")
    assert f"number of directives is {MAX_DIRECTIVES + 1}" in message


async def test_a_document_holds_one_operation() -> None:
    result = await SCHEMA.execute(
        "query A { __typename } query B { __typename }", operation_name="A"
    )
    assert result.errors
    assert result.errors[0].message == "The document holds 2 operations. Send one at a time."


async def test_fragments_that_double_at_every_step_are_refused_at_once() -> None:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(120))
    document = f"{{ ...F0 }} {chain} fragment F120 on Query {{ a: __typename }}"
    started = time.process_time()
    assert "number of aliases is more than a million" in await refused(document)
    assert time.process_time() - started < 2


async def test_fragments_that_spread_each_other_are_refused() -> None:
    assert "Cannot spread fragment" in await refused(
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    )


@pytest.mark.parametrize(
    "document",
    ["{ a" * 900, "{ __typename " + "me " * 3000 + "}", "{ me { id ", "", "query {", "💥"],
    ids=["nested", "long", "open", "empty", "half", "emoji"],
)
async def test_what_is_no_graphql_is_a_parse_error(document: str) -> None:
    result = await SCHEMA.execute(document or "#")
    assert result.errors
    assert result.errors[0].extensions == {"code": "GRAPHQL_PARSE_FAILED"}


async def test_deep_introspection_is_refused_and_the_usual_one_is_not() -> None:
    nested = "fields { type {" * 6 + "name" + "}}" * 6
    result = await SCHEMA.execute(f"{{ __schema {{ types {{ {nested} }} }} }}")
    assert result.errors
    assert "introspection depth" in result.errors[0].message
    SCHEMA.introspect()


async def test_the_caches_hit_with_all_limits_on() -> None:
    parsed, validated = _get_parse_cache(CACHED_DOCUMENTS), _get_validate_cache(CACHED_DOCUMENTS)
    before = parsed.cache_info().hits, validated.cache_info().hits  # type: ignore[attr-defined]
    for _ in range(50):
        result = await SCHEMA.execute("query CacheTest { __typename }")
        assert result.data == {"__typename": "Query"}
    after = parsed.cache_info().hits, validated.cache_info().hits  # type: ignore[attr-defined]
    assert [late - early for late, early in zip(after, before, strict=True)] == [49, 49]
