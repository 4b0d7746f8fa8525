"""Where a request carries its access token."""

from collections.abc import Mapping

__all__ = ["authorization_in"]


def authorization_in(parameters: Mapping[str, object] | None) -> str | None:
    """The value for `Authorization` in a websocket's `connection_init` payload.

    Clients send `{"authorization": "Bearer …"}`, as a header would be, or `{"token": "…"}`.
    """
    for name, value in (parameters or {}).items():
        if not isinstance(value, str):
            continue
        if name.lower() == "authorization":
            return value
        if name == "token":
            return f"Bearer {value}"
    return None
