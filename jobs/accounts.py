"""Accounts: an email, an argon2 hash and a role."""

import asyncio
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from tortoise.exceptions import IntegrityError

from jobs import audit
from jobs.access import Role, Viewer
from jobs.database import transaction
from jobs.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from jobs.models import User

__all__ = ["authenticate", "create_user", "get_user"]

MIN_PASSWORD = 10
MAX_PASSWORD = 1024
MAX_EMAIL = 254
MAX_EMAIL = 254


async def create_user(
    email: str, password: str, role: Role, *, viewer: Viewer | None = None
) -> User:
    """A new account. InvalidInput for a bad email or password, Conflict for an email in use.

    `viewer` is who makes it; null from the operator's shell.
    """
    email = _normalised(email)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidInput.at(
            ["password"],
            f"The password has {len(password)} characters.",
            code="PASSWORD_LENGTH",
            remedy=f"Choose one of {MIN_PASSWORD} to {MAX_PASSWORD} characters.",
        )
    password_hash = await asyncio.to_thread(PasswordHasher().hash, _as_bytes(password))
    try:
        async with transaction():
            user = await User.create(email=email, password_hash=password_hash, role=role)
            await audit.record(viewer, "createUser", user, user.id, role=role)
    except IntegrityError as error:
        raise Conflict(
            f"There is an account for {email} already.", "Log in, or use another email."
        ) from error
    return user


async def authenticate(email: str, password: str) -> User:
    """The account with this email and password.

    Raises Unauthenticated, after the same work, whether the email or the password is wrong.
    """
    email = email.strip().lower()
    can_be_one = email.isprintable() and len(email) <= MAX_EMAIL
    user = await User.get_or_none(email=email) if can_be_one else None
    known = user.password_hash if user else _NOBODY
    if not await asyncio.to_thread(_matches, known, password[: MAX_PASSWORD + 1]) or user is None:
        raise Unauthenticated(
            "The email or the password is wrong.", "Check both; an ADMIN can make an account."
        )
    return user


async def get_user(viewer: Viewer, user_id: UUID) -> User:
    """An account: one's own, or anybody's for an ADMIN; NotFound otherwise."""
    user = None
    if viewer.role is Role.ADMIN or viewer.user_id == user_id:
        user = await User.get_or_none(id=user_id)
    if user is None:
        raise NotFound("user", user_id)
    return user


_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA"
    "$Zm9yIG5vYm9keSwgdGhlIHNhbWUgd29yayBpcyBkb25lIQ"
)
"""Compared against when there is no such account, so that the time taken tells nothing."""


def _matches(password_hash: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(password_hash, _as_bytes(password))
    except (VerificationError, InvalidHashError):
        return False


def _as_bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")  # JSON can carry half a surrogate pair


def _normalised(email: str) -> str:
    email = email.strip().lower()
    name, _, domain = email.partition("@")
    bad = " " in email or "@" in domain or not email.isprintable()
    if not name or not domain or len(email) > MAX_EMAIL or bad:
        raise InvalidInput.at(
            ["email"],
            f"{email!r} is not an email address.",
            code="EMAIL",
            remedy="Give an address like name@example.org.",
        )
    return email
