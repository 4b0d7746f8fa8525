"""How long is waited where the hub, or the network, is away for a while."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # lazy

__all__ = ["Patience"]

WAITS_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Before each further try: five minutes in all, and then the hub is out of reach."""
LONGEST_SECONDS: Final = 900.0
"""The hub counts requests by five minutes; who is sent away for longer than this is refused."""
_TICK_SECONDS: Final = 1.0
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

T = TypeVar("T")


class Patience:
    """Tries again what fails for a while, fewer and fewer times until something comes of it."""

    def __init__(self, beat: Callable[[], None]) -> None:
        """`beat` is called every second of a wait: it is no hung process."""
        self._beat = beat
        self._failures = 0

    def answer(self, ask: Callable[[], T]) -> T:
        """What the hub answers in the end; the error of the last try where it does not."""
        while True:
            try:
                answer = ask()
            except (httpx2.TransportError, HfHubHTTPError) as error:
                self._bear(error)
            else:
                self.renew()
                return answer

    def renew(self) -> None:
        """Something came: a later failure is the first again."""
        self._failures = 0

    def _bear(self, error: httpx2.TransportError | HfHubHTTPError) -> None:
        """Wait after a failure; raise it where no wait will help."""
        told = _told_seconds(error)
        if self._failures >= len(WAITS_SECONDS) or not _passes(error) or told > LONGEST_SECONDS:
            raise error
        until = time.monotonic() + max(WAITS_SECONDS[self._failures], told)
        self._failures += 1
        while (left := until - time.monotonic()) > 0:
            self._beat()
            time.sleep(min(left, _TICK_SECONDS))


def _passes(error: httpx2.TransportError | HfHubHTTPError) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING
    return not isinstance(error, httpx2.UnsupportedProtocol)


def _told_seconds(error: httpx2.TransportError | HfHubHTTPError) -> float:
    """How long the hub bade to wait, in either way in which it says that; 0 where it did not."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if error.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    told = headers.get("Retry-After", "").strip()
    if told.isdecimal():
        return float(told)
    with suppress(ValueError):
        return (parsedate_to_datetime(told).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return 0.0
