"""A typed client of the API: what the command line and the demo speak through."""

from api.client.client import Client
from api.client.errors import ClientError, NotLoggedIn, Refused, Unreachable
from api.client.runs import RunOptions

__all__ = ["Client", "ClientError", "NotLoggedIn", "Refused", "RunOptions", "Unreachable"]
