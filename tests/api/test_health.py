"""Whether the process lives, and whether it can serve."""

from tests.api.clients import Client
from tests.valkey import Valkey


async def test_a_process_that_has_all_it_needs_is_ready(client: Client) -> None:
    live = await client.http.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    ready = await client.http.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "database": True, "redis": True, "missing": []},
    )


async def test_without_redis_it_says_so_and_still_answers(client: Client, valkey: Valkey) -> None:
    valkey.stop()
    try:
        ready = await client.http.get("/health/ready", timeout=10)
        assert (ready.status_code, ready.json()["missing"]) == (503, ["redis"])
        assert (await client.http.get("/health/live")).status_code == 200
        assert await client.data("{ __typename }") == {"__typename": "Query"}
    finally:
        valkey.start()
    ready = await client.http.get("/health/ready", timeout=10)
    assert ready.status_code == 200
