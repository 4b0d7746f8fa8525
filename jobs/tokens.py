"""Signed tokens: access (short), refresh (long), download, records and upload (one file)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import jwt

from jobs.access import Role, Viewer
from jobs.errors import Unauthenticated
from jobs.models import User

__all__ = ["Session", "Tokens"]

ALGORITHM = "HS256"
Use = Literal["access", "refresh", "download", "records", "upload"]


@dataclass(frozen=True)
class Session:
    """What a login gives: `expires_at` is when the access token ends."""

    access_token: str
    refresh_token: str
    expires_at: datetime
    user: User


@dataclass(frozen=True)
class Tokens:
    """Issues and reads tokens signed with the service's secret. Times in seconds."""

    secret: str
    access_seconds: int
    refresh_seconds: int
    download_seconds: int

    def issue(self, user: User) -> Session:
        """A fresh pair of tokens for an account."""
        access, expires_at = self._sign("access", self.access_seconds, {"sub": str(user.id)})
        claims = {"sub": str(user.id), "version": user.token_version}
        refresh, _ = self._sign("refresh", self.refresh_seconds, claims)
        return Session(access, refresh, expires_at, user)

    async def viewer(self, token: str) -> Viewer:
        """Who a request with this access token is made for; the role is read anew each time.

        Raises Unauthenticated for a token that is expired, forged, of another kind, or whose
        account is gone.
        """
        claims = self._read("access", token)
        user = await self._user(claims)
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        return Viewer(user.id, user.email, Role(user.role), expires_at)

    async def refresh(self, token: str) -> Session:
        """A new pair for a refresh token; Unauthenticated as above, or where it was revoked."""
        claims = self._read("refresh", token)
        user = await self._user(claims)
        if claims.get("version") != user.token_version:
            raise Unauthenticated("This refresh token was revoked.", "Log in again.")
        return self.issue(user)

    def sign_download(self, export_id: UUID, name: str) -> str:
        """A link's token for one file of an export."""
        claims = {"sub": str(export_id), "name": name}
        return self._sign("download", self.download_seconds, claims)[0]

    def read_download(self, token: str) -> tuple[UUID, str]:
        """The export and file that a download token names; Unauthenticated where it fails."""
        claims = self._read("download", token)
        return UUID(claims["sub"]), str(claims["name"])

    def sign_records(self, dataset_id: UUID) -> str:
        """A link's token for the records of one dataset."""
        return self._sign("records", self.download_seconds, {"sub": str(dataset_id)})[0]

    def read_records(self, token: str) -> UUID:
        """The dataset that a records token names; Unauthenticated where it fails."""
        return UUID(self._read("records", token)["sub"])

    def sign_upload(self, upload_id: UUID, seconds: int) -> str:
        """A link's token for sending one upload; it reads nothing back."""
        return self._sign("upload", seconds, {"sub": str(upload_id)})[0]

    def read_upload(self, token: str) -> UUID:
        """The upload that an upload token names; Unauthenticated where it fails."""
        return UUID(self._read("upload", token)["sub"])

    def _sign(self, use: Use, seconds: int, claims: Mapping[str, object]) -> tuple[str, datetime]:
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + timedelta(seconds=seconds)
        payload = {**claims, "use": use, "iat": now, "exp": expires_at}
        return jwt.encode(payload, self.secret, ALGORITHM), expires_at

    def _read(self, use: Use, token: str) -> dict[str, Any]:
        required = ["sub", "exp", "iat", "use"]
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self.secret, [ALGORITHM], options={"require": required}
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated(f"The {use} token has expired.", _REMEDIES[use]) from error
        except (jwt.InvalidTokenError, UnicodeEncodeError) as error:
            raise Unauthenticated(f"The {use} token is not valid.", _REMEDIES[use]) from error
        if claims["use"] != use:
            raise Unauthenticated(f"This is no {use} token.", _REMEDIES[use])
        return claims

    async def _user(self, claims: Mapping[str, Any]) -> User:
        user = await User.get_or_none(id=claims["sub"])
        if user is None:
            raise Unauthenticated("The token's account no longer exists.", "Log in again.")
        return user


_REMEDIES: Mapping[Use, str] = {
    "access": "Get a new one with the mutation refreshToken, or log in again.",
    "refresh": "Log in again.",
    "download": "Ask for the export's downloadUrl again.",
    "records": "Ask for the dataset's downloadUrl again.",
    "upload": "Ask for the upload's url again.",
}
