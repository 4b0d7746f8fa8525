"""GraphQL over HTTP: what is taken, what is refused, and how."""

import json
import logging
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from jobs.settings import Settings
from schema import root
from tests.api.clients import Client, receive, subscribe
from tests.factories import make_viewer

JSON = {"content-type": "application/json"}
GRAPHQL_JSON = "application/graphql-response+json"


async def refused(client: Client, content: bytes, status: int, code: str, **headers: str) -> None:
    response = await client.http.post("/graphql", content=content, headers=JSON | headers)
    assert response.status_code == status
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == [code]


async def test_a_query_is_answered_as_json(client: Client) -> None:
    response = await client.post("{ __typename }")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.content == b'{"data":{"__typename":"Query"}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b'{"query": 5}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "operationName": {}}',
        b'{"query": "{ __typename }", "operationName": "Other"}',
        b'{"query": "{ __typename }", "extensions": 5}',
        b'[{"query": "{ __typename }"}]',
        b"[1]",
        b"[" * 100_000,
        b'{"query": "subscription { trainingStatus(jobId: \\"x\\") { id } }"}',
    ],
)
async def test_a_body_that_is_no_request_is_a_bad_request(client: Client, content: bytes) -> None:
    await refused(client, content, 400, "BAD_REQUEST")


async def test_only_json_is_taken(client: Client) -> None:
    body = b'{"query": "{ __typename }"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = await client.http.post("/graphql", content=body, headers={"content-type": kind})
        assert response.status_code == 400


async def test_queries_are_not_taken_by_get(client: Client) -> None:
    for accept in ("application/json", "text/html"):
        response = await client.http.get(
            "/graphql", params={"query": "{ __typename }"}, headers={"accept": accept}
        )
        assert response.status_code == 405
        assert response.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"


async def test_a_body_of_ten_megabytes_is_too_large(client: Client) -> None:
    content = json.dumps({"query": "{ __typename }", "variables": {"x": "y" * 10**7}}).encode()
    await refused(client, content, 413, "PAYLOAD_TOO_LARGE")

    async def stream() -> Any:  # no content-length
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    response = await client.http.post("/graphql", content=stream(), headers=JSON)
    assert response.status_code == 413
    assert (await client.data("{ __typename }")) == {"__typename": "Query"}


async def test_errors_before_execution_have_no_data_and_a_code(client: Client) -> None:
    for query, code in (
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($first: Int!) { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ a" * 440 + "}" * 440, "GRAPHQL_VALIDATION_FAILED"),
    ):
        answer = (await client.post(query)).json()
        assert "data" not in answer
        assert {error["extensions"]["code"] for error in answer["errors"]} <= {
            code,
            "GRAPHQL_PARSE_FAILED",
        }


async def test_values_of_the_wrong_type_are_named_not_masked(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    query = "query($first: Int!) { listModels(first: $first) { totalCount } }"
    for value in (2**31, "5", None, 1.5, {}):
        error = await viewer.error(query, first=value)
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert "$first" in error["message"]
    literal = await viewer.error("{ listModels(first: 99999999999) { totalCount } }")
    assert literal["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "32-bit" in literal["message"]


async def test_pages_of_an_impossible_size_are_refused_with_value_and_range(client: Client) -> None:
    viewer = await client.as_viewer(await make_viewer())
    for first in (-5, 0, 101):
        error = await viewer.error(f"{{ listTrainingJobs(first: {first}) {{ totalCount }} }}")
        assert error["message"] == f"`first` is {first}, but must be from 1 to 100."
        assert error["extensions"]["code"] == "INVALID"
    assert await viewer.code('{ listModels(after: "x") { totalCount } }') == "INVALID"


async def test_graphql_response_json_tells_of_request_errors_by_status(client: Client) -> None:
    async def post(query: str) -> httpx.Response:
        headers = {"accept": f"{GRAPHQL_JSON}, application/json;q=0.9"}
        return await client.http.post("/graphql", json={"query": query}, headers=headers)

    fine = await post("{ __typename }")
    assert (fine.status_code, fine.headers["content-type"]) == (
        200,
        f"{GRAPHQL_JSON}; charset=utf-8",
    )
    for query in ("{", "{ nope }"):
        refusal = await post(query)
        assert refusal.status_code == 400
        assert "data" not in refusal.json()
    assert (await post("{ me { id } }")).status_code == 200


async def test_unknown_addresses_and_methods_answer_json(client: Client) -> None:
    missing = await client.http.get("/nope")
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    method = await client.http.post("/health/live")
    assert method.status_code == 405
    assert method.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"


async def test_an_unexpected_error_is_masked_and_logged_under_its_id(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    broken = client.service.artifacts.root  # a file where the folder should be
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("in the way")
    viewer = await client.as_viewer(await make_viewer())
    error = await viewer.error(
        'mutation { createDataset(input: {name: "x", dataType: TEXT, '
        'source: {records: [{text: "hello"}]}}) { __typename } }'
    )
    assert error["extensions"]["code"] == "INTERNAL"
    assert "correlationId" in error["message"]
    assert str(broken) not in json.dumps(error)
    assert error["extensions"]["correlationId"] in caplog.text


async def test_a_request_is_one_line_in_the_log_without_its_secrets(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tunery.requests")
    viewer = await client.as_viewer(await make_viewer())
    await viewer.data("query WhoAmI { me { id } }")
    await client.http.get("/downloads/secret-token")
    await client.http.head("/uploads/secret-token")
    lines = [record.getMessage() for record in caplog.records if record.name == "tunery.requests"]
    assert [line.split()[:3] for line in lines] == [
        ["POST", "/graphql", "200"],
        ["GET", "/downloads/…", "401"],
        ["HEAD", "/uploads/…", "401"],
    ]
    assert lines[0].endswith("WhoAmI")
    assert "secret-token" not in caplog.text
    assert viewer.token is not None
    assert viewer.token not in caplog.text


@pytest.mark.parametrize(("environment", "status"), [("development", 200), ("production", 405)])
def test_graphiql_is_there_in_development_only(
    settings: Settings, environment: str, status: int
) -> None:
    app = create_app(settings.model_copy(update={"environment": environment}))
    with TestClient(app) as browser:
        page = browser.get("/graphql", headers={"accept": "text/html"})
    assert page.status_code == status
    assert ("graphiql" in page.text.lower()) is (environment == "development")


async def test_an_operation_that_takes_too_long_is_stopped(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await client.as_viewer(await make_viewer())
    monkeypatch.setattr(root, "OPERATION_SECONDS", 0.0)
    assert await viewer.code("{ listDatasets { totalCount } }") == "TIMEOUT"
    async with viewer.socket() as socket:
        await subscribe(socket, "{ listDatasets { totalCount } }")
        message = await receive(socket)
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"] == {"code": "TIMEOUT"}


async def test_only_post_is_taken(client: Client) -> None:
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        response = await client.http.request(method, "/graphql")
        assert response.status_code == 405
