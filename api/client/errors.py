"""What can go wrong between a client and a server.

* ClientError
  + Unreachable    nobody answers there, or what answers is not Tunery
  + Refused        the server answered, and would not: `code` is the API's own
    - NotLoggedIn  UNAUTHENTICATED
"""

from collections.abc import Sequence

from api.client.results import Finding

__all__ = ["ClientError", "NotLoggedIn", "Refused", "Unreachable"]


class ClientError(Exception):
    """Base of every expected failure."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


class Unreachable(ClientError):
    """There is no server there, or none that speaks our API."""


class Refused(ClientError):
    """The server would not do it; `findings` name every place in the input that is wrong."""

    def __init__(
        self,
        code: str,
        message: str,
        remedy: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(message, remedy)
        self.args = (code, message, remedy, findings)
        self.code = code
        self.findings = tuple(findings)


class NotLoggedIn(Refused):
    """There is no token, or it no longer holds."""
