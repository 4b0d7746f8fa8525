"""Finding and waiting for a port to listen on."""

import asyncio
import socket
from typing import Final

from jobs.errors import Conflict

__all__ = ["base_url", "free_port", "wait_for_port"]

PATIENCE_SECONDS: Final = 2.0
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what to ask for instead


def base_url(host: str, port: int) -> str:
    """Where a client on this machine reaches a server that listens there."""
    name = EVERYWHERE.get(host) or (f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_for_port(host: str, port: int) -> None:
    """Return once the port can be had; whoever was just stopped may need a moment to leave it.

    Raises Conflict where it stays taken.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while not _is_free(host, port):
        if loop.time() > deadline:
            raise Conflict(
                f"Another program listens on port {port} of {host}.",
                "Stop it, or give another port with --port.",
            )
        await asyncio.sleep(0.1)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
