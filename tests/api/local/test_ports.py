"""Ports and addresses."""

import socket

import pytest

from api.local import ports
from api.local.ports import base_url, free_port, wait_for_port
from jobs.errors import Conflict


async def test_a_port_that_is_taken_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "PATIENCE_SECONDS", 0.1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Conflict) as caught:
            await wait_for_port("127.0.0.1", other.getsockname()[1])
    assert caught.value.remedy == "Stop it, or give another port with --port."
    await wait_for_port("127.0.0.1", free_port())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("tunery.example.org", "http://tunery.example.org:80"),
    ],
)
def test_the_address_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert base_url(host, 80) == url
