"""Accounts and the tokens that speak for them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from jobs import accounts
from jobs.access import Role, Viewer
from jobs.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from jobs.models import AuditEntry, User
from jobs.service import Service
from jobs.tokens import ALGORITHM, Tokens
from tests.conftest import SECRET
from tests.factories import PASSWORD, make_viewer

EMAIL = "ada@example.org"


@pytest.fixture
async def ada(service: Service) -> User:
    del service  # only its database
    return await User.get(id=(await make_viewer(Role.TRAINER, EMAIL)).user_id)


@pytest.mark.usefixtures("service")
async def test_an_account_is_known_by_its_email_in_any_case() -> None:
    ada = await accounts.create_user(f"  {EMAIL.title()} ", PASSWORD, Role.TRAINER)
    assert ada.email == EMAIL
    assert ada.password_hash.startswith("$argon2id$")
    assert (await accounts.authenticate(" ADA@example.org", PASSWORD)).id == ada.id
    assert await AuditEntry.all().count() == 1


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, PASSWORD + "!"),
        (EMAIL, ""),
        (EMAIL, "x" * 100_000),
        (EMAIL, "\ud800"),
        ("nobody@example.org", PASSWORD),
        ("", ""),
        ("\ud800", PASSWORD),
        ("ada@example.org\x00", PASSWORD),
    ],
)
async def test_a_wrong_email_and_a_wrong_password_are_told_alike(email: str, password: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await accounts.authenticate(email, password)
    assert caught.value.message == "The email or the password is wrong."


async def test_a_second_account_of_one_email_is_refused(ada: User) -> None:
    with pytest.raises(Conflict):
        await accounts.create_user("Ada@Example.org", "another password", Role.ADMIN)
    assert await User.all().values_list("id", "role") == [(ada.id, Role.TRAINER)]
    assert await AuditEntry.all().count() == 0


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "a b@c.d",
        "a@b@c",
        "a\x00@b.c",
        "\ud800@b.c",
        "a@" + "b" * 253,
    ],
)
async def test_what_is_no_email_is_refused(email: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await accounts.create_user(email, PASSWORD, Role.VIEWER)
    assert [finding.code for finding in caught.value.findings] == ["EMAIL"]
    assert await User.all().count() == 0


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("password", ["", "x" * 9, "x" * 1025])
async def test_a_password_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await accounts.create_user(EMAIL, password, Role.VIEWER)
    assert [finding.code for finding in caught.value.findings] == ["PASSWORD_LENGTH"]
    assert await User.all().count() == 0


async def test_only_an_admin_sees_another_account(ada: User) -> None:
    other = await accounts.create_user("bob@example.org", PASSWORD, Role.VIEWER)
    admin = Viewer(uuid4(), "root@example.org", Role.ADMIN)
    for viewer in (Viewer(ada.id, ada.email, Role.TRAINER), admin):
        assert (await accounts.get_user(viewer, ada.id)).id == ada.id
    with pytest.raises(NotFound):
        await accounts.get_user(Viewer(ada.id, ada.email, Role.TRAINER), other.id)
    with pytest.raises(NotFound):
        await accounts.get_user(admin, uuid4())


def test_a_role_includes_those_below_it() -> None:
    included = {(one, other) for one in Role for other in Role if one.includes(other)}
    assert included == {
        (Role.ADMIN, Role.ADMIN),
        (Role.ADMIN, Role.TRAINER),
        (Role.ADMIN, Role.VIEWER),
        (Role.TRAINER, Role.TRAINER),
        (Role.TRAINER, Role.VIEWER),
        (Role.VIEWER, Role.VIEWER),
    }


async def test_a_token_names_its_account_whose_role_is_read_anew(
    service: Service, ada: User
) -> None:
    session = service.tokens.issue(ada)
    viewer = await service.tokens.viewer(session.access_token)
    assert viewer == Viewer(ada.id, EMAIL, Role.TRAINER, session.expires_at)
    lifetime = session.expires_at - datetime.now(UTC)
    assert timedelta(seconds=890) < lifetime <= timedelta(seconds=900)
    await User.filter(id=ada.id).update(role=Role.VIEWER)
    assert (await service.tokens.viewer(session.access_token)).role is Role.VIEWER


async def test_an_expired_token_is_refused(service: Service, ada: User) -> None:
    late = Tokens(SECRET, access_seconds=-1, refresh_seconds=-1, download_seconds=-1)
    session = late.issue(ada)
    with pytest.raises(Unauthenticated, match="access token has expired"):
        await service.tokens.viewer(session.access_token)
    with pytest.raises(Unauthenticated, match="refresh token has expired"):
        await service.tokens.refresh(session.refresh_token)
    with pytest.raises(Unauthenticated, match="download token has expired"):
        service.tokens.read_download(late.sign_download(uuid4(), "model"))


def _forged(claims: dict[str, object], algorithm: str) -> str:
    """A token in the way of those who hope that nobody looks at the signature."""
    parts = [{"alg": algorithm, "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b""]).decode()


def _claims(user: User, **changes: object) -> dict[str, object]:
    now = int(datetime.now(UTC).timestamp())
    return {"sub": str(user.id), "use": "access", "iat": now, "exp": now + 100} | changes


@pytest.mark.filterwarnings("ignore:The HMAC key is:jwt.InsecureKeyLengthWarning")
async def test_a_forged_token_is_refused(service: Service, ada: User) -> None:
    good = service.tokens.issue(ada).access_token
    head, body, signature = good.split(".")
    forged = [
        *(_forged(_claims(ada), algorithm) for algorithm in ("none", "None", "NONE", "HS256", "")),
        jwt.encode(_claims(ada), "another secret, just as long as ours is", ALGORITHM),
        jwt.encode(_claims(ada), SECRET, "HS512"),
        jwt.encode({"sub": str(ada.id), "use": "access"}, SECRET, ALGORITHM),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}x.{signature}",
        *("", ".", "..", "x", "é.é.é", "\ud800", "\x00", good + "x" * 100_000),
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            await service.tokens.viewer(token)


async def test_a_token_of_one_kind_is_not_taken_for_another(service: Service, ada: User) -> None:
    tokens = service.tokens
    session, download = tokens.issue(ada), tokens.sign_download(ada.id, "model")
    for token in (session.refresh_token, download):
        with pytest.raises(Unauthenticated, match="no access token"):
            await tokens.viewer(token)
    for token in (session.access_token, download):
        with pytest.raises(Unauthenticated, match="no refresh token"):
            await tokens.refresh(token)
    for token in (session.access_token, session.refresh_token):
        with pytest.raises(Unauthenticated, match="no download token"):
            tokens.read_download(token)


async def test_a_refresh_token_gives_a_new_pair_until_it_is_revoked(
    service: Service, ada: User
) -> None:
    session = await service.tokens.refresh(service.tokens.issue(ada).refresh_token)
    assert (await service.tokens.viewer(session.access_token)).user_id == ada.id
    await User.filter(id=ada.id).update(token_version=1)
    with pytest.raises(Unauthenticated, match="revoked"):
        await service.tokens.refresh(session.refresh_token)


async def test_the_tokens_of_a_deleted_account_are_refused(service: Service, ada: User) -> None:
    session = service.tokens.issue(ada)
    await ada.delete()
    with pytest.raises(Unauthenticated, match="no longer exists"):
        await service.tokens.viewer(session.access_token)
    with pytest.raises(Unauthenticated, match="no longer exists"):
        await service.tokens.refresh(session.refresh_token)


async def test_a_download_token_names_its_export_and_file(service: Service) -> None:
    export_id = uuid4()
    token = service.tokens.sign_download(export_id, "a/b c.safetensors")
    assert service.tokens.read_download(token) == (export_id, "a/b c.safetensors")
