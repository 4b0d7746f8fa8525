"""Tokens: only a live, well-signed access token is worth anything, and roles hold."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from jobs.access import Role
from jobs.models import User
from schema import ids
from tests.api.clients import Client
from tests.conftest import SECRET
from tests.factories import PASSWORD, make_viewer

LOGIN = """mutation Login($email: String!, $password: String!) {
  login(email: $email, password: $password) {
    accessToken refreshToken expiresAt user { id email role } } }"""
REFRESH = """mutation Refresh($token: String!) {
  refreshToken(refreshToken: $token) { accessToken refreshToken user { email } } }"""
ME = "{ me { email role } }"


async def test_a_login_gives_tokens_that_work(client: Client) -> None:
    viewer = await make_viewer(email="ada@example.org")
    session = (await client.data(LOGIN, email="Ada@Example.org ", password=PASSWORD))["login"]
    assert session["user"] == {
        "id": ids.encode(ids.Kind.USER, viewer.user_id),
        "email": "ada@example.org",
        "role": "TRAINER",
    }
    me = await client.with_token(session["accessToken"]).data(ME)
    assert me == {"me": {"email": "ada@example.org", "role": "TRAINER"}}
    renewed = (await client.data(REFRESH, token=session["refreshToken"]))["refreshToken"]
    assert renewed["user"] == {"email": "ada@example.org"}
    assert (await client.with_token(renewed["accessToken"]).data(ME)) == me


async def test_a_wrong_email_and_a_wrong_password_look_the_same(client: Client) -> None:
    await make_viewer(email="ada@example.org")
    errors = [
        await client.error(LOGIN, email=email, password=password)
        for email, password in (
            ("ada@example.org", "wrong horse battery"),
            ("bob@example.org", PASSWORD),
            ("", ""),
            ("ada@example.org", "x" * 100_000),
        )
    ]
    assert {error["extensions"]["code"] for error in errors} == {"UNAUTHENTICATED"}
    assert {error["message"] for error in errors} == {"The email or the password is wrong."}


async def test_no_token_or_one_that_does_not_hold_is_unauthenticated(client: Client) -> None:
    user = await User.get(id=(await make_viewer()).user_id)
    session = client.service.tokens.issue(user)
    for token in (
        None,
        "nonsense",
        "a.b.c",
        signed(user, SECRET, exp=datetime.now(UTC) - timedelta(seconds=1)),
        signed(user, "another secret, as long as it has to be"),
        signed(user, SECRET, use=None),
        signed(user, SECRET, sub="00000000-0000-0000-0000-000000000000"),
        signed(user, SECRET, sub="x"),
        signed(user, SECRET, sub=5),
        signed(user, SECRET, exp=None),
        unsigned(user),
        session.refresh_token,
        session.access_token[:-4],
        client.service.tokens.sign_download(user.id, "x"),
    ):
        bearer = Client(client.http, client.service, client.address, token)
        assert await bearer.code(ME) == "UNAUTHENTICATED", token


async def test_an_access_token_is_no_refresh_token(client: Client) -> None:
    user = await User.get(id=(await make_viewer()).user_id)
    access = client.service.tokens.issue(user).access_token
    for token in (access, "", "x", unsigned(user)):
        assert await client.code(REFRESH, token=token) == "UNAUTHENTICATED"


async def test_only_the_bearer_scheme_is_read(client: Client) -> None:
    user = await User.get(id=(await make_viewer()).user_id)
    token = client.service.tokens.issue(user).access_token
    for header in (token, f"Basic {token}", "Bearer"):
        response = await client.http.post(
            "/graphql", json={"query": ME}, headers={"authorization": header}
        )
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    response = await client.http.post(
        "/graphql", json={"query": ME}, headers={"authorization": f"bearer {token}"}
    )
    assert "errors" not in response.json()


WRITES = {
    "createDataset": """mutation { createDataset(input: {name: "x", dataType: TEXT,
        source: {records: [{text: "x"}]}}) { __typename } }""",
    "deleteDataset": 'mutation { deleteDataset(datasetId: "x") { __typename } }',
    "registerModel": 'mutation { registerModel(name: "x", source: "a/b") { __typename } }',
    "startTraining": """mutation { startTraining(input: {modelId: "x", datasetId: "y"})
        { __typename } }""",
    "runPipeline": """mutation { runPipeline(input: {modelId: "x", datasetId: "y",
        trainingType: LORA}) { __typename } }""",
    "cancelTraining": 'mutation { cancelTraining(jobId: "x") { __typename } }',
    "pauseTraining": 'mutation { pauseTraining(jobId: "x") { __typename } }',
    "resumeTraining": 'mutation { resumeTraining(jobId: "x") { __typename } }',
    "saveCheckpoint": 'mutation { saveCheckpoint(jobId: "x") { __typename } }',
    "cleanupCheckpoints": 'mutation { cleanupCheckpoints(jobId: "x", keepBest: 1) { __typename } }',
    "exportModel": """mutation { exportModel(input: {modelVersionId: "x", format: SAFETENSORS})
        { __typename } }""",
}


@pytest.mark.parametrize("field", WRITES)
async def test_a_viewer_reads_and_changes_nothing(client: Client, field: str) -> None:
    viewer = await client.as_viewer(await make_viewer(Role.VIEWER))
    error = await viewer.error(WRITES[field])
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert error["message"] == f"{field} needs the role TRAINER; yours is VIEWER."
    assert await viewer.data(
        "{ listDatasets { totalCount } listModels { totalCount } listWorkers { totalCount } }"
    ) == {
        "listDatasets": {"totalCount": 0},
        "listModels": {"totalCount": 0},
        "listWorkers": {"totalCount": 0},
    }


CREATE_USER = """mutation($email: String!, $password: String!) {
  createUser(email: $email, password: $password, role: TRAINER) {
    __typename ... on User { email role } ... on Problem { code message } } }"""


async def test_only_an_admin_makes_accounts(client: Client) -> None:
    trainer = await client.as_viewer(await make_viewer(Role.TRAINER))
    admin = await client.as_viewer(await make_viewer(Role.ADMIN))
    new = {"email": "new@example.org", "password": PASSWORD}
    assert await trainer.code(CREATE_USER, **new) == "FORBIDDEN"
    assert await User.filter(email="new@example.org").count() == 0
    assert (await admin.data(CREATE_USER, **new))["createUser"] == {
        "__typename": "User",
        "email": "new@example.org",
        "role": "TRAINER",
    }
    again = (await admin.data(CREATE_USER, **new))["createUser"]
    assert (again["__typename"], again["code"]) == ("ConflictProblem", "CONFLICT")
    weak = (await admin.data(CREATE_USER, email="x@example.org", password="short"))["createUser"]
    assert (weak["__typename"], weak["code"]) == ("InvalidProblem", "INVALID")


async def test_a_role_that_was_taken_away_is_gone_with_the_next_request(client: Client) -> None:
    viewer = await make_viewer(Role.ADMIN)
    admin = await client.as_viewer(viewer)
    await User.filter(id=viewer.user_id).update(role=Role.VIEWER)
    answer = await admin.code(CREATE_USER, email="x@example.org", password=PASSWORD)
    assert answer == "FORBIDDEN"


def signed(user: User, secret: str, **changes: Any) -> str:
    """An access token with some claims changed; None leaves a claim out."""
    now = datetime.now(UTC)
    claims = {"sub": str(user.id), "use": "access", "iat": now, "exp": now + timedelta(hours=1)}
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    if isinstance(kept.get("sub"), str):
        return jwt.encode(kept, secret, "HS256")
    return jwt.api_jws.encode(json.dumps(kept, default=datetime.timestamp).encode(), secret)


def unsigned(user: User) -> str:
    """The oldest trick: a token that says it needs no signature."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"sub": str(user.id), "use": "access", "iat": now, "exp": now + 3600}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    ]
    return ".".join([*encoded, ""])
