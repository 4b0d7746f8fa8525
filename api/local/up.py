"""`tunery up`: everything the service needs, started in order, kept running, stopped in order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx

from api.local.home import Home
from api.local.keeper import Keeper, Program
from api.local.ports import base_url, free_port, wait_for_port
from api.local.redis_server import RedisServer, answers, find_binary
from jobs.database import migrate
from jobs.errors import Unavailable
from jobs.settings import Settings

__all__ = ["up"]

READY_SECONDS: Final = 60.0
REDIS_PATIENCE_SECONDS: Final = 5.0
WORKER_STOP_SECONDS: Final = 30.0
API_STOP_SECONDS: Final = 15.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Announce = Callable[[str], None]


async def up(settings: Settings, *, announce: Announce) -> None:
    """Run the whole service until this process is asked to stop.

    `announce` is called with the address once the service answers. Raises Conflict where the home
    or the port is taken, Unavailable where a part cannot be started or does not stay up.
    """
    home = Home(settings.home)
    if settings.port == 0:
        settings = settings.model_copy(update={"port": free_port(settings.host)})
    url = base_url(settings.host, settings.port)
    with home.locked(url) as lock:
        await wait_for_port(settings.host, settings.port)
        async with AsyncExitStack() as stack:
            keepers: list[Keeper] = []
            stop = await stack.enter_async_context(_stop_signals(keepers))
            if "redis_url" in settings.model_fields_set:
                await _check_redis(settings.redis_url)
            else:
                server = RedisServer(
                    find_binary(), home.valkey, log=home.fresh_log("valkey"), lock=lock
                )
                await server.start()
                keepers.append(server.keeper)
                stack.push_async_callback(server.keeper.stop)
                settings = settings.model_copy(update={"redis_url": server.url})
            await migrate(settings)
            for verb, patience in (("serve", API_STOP_SECONDS), ("worker", WORKER_STOP_SECONDS)):
                keeper = Keeper(_our_program(verb, settings, home, stop_seconds=patience))
                keepers.append(keeper)
                await keeper.start()
                stack.push_async_callback(keeper.stop)
            await _keep(keepers, stop, lambda: _announce(url, keepers[-2], announce))


@asynccontextmanager
async def _stop_signals(keepers: Sequence[Keeper]) -> AsyncIterator[asyncio.Event]:
    """An event set by the first signal to stop; a second one kills what still runs."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            for keeper in keepers:
                keeper.kill()
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _check_redis(url: str) -> None:
    deadline = time.monotonic() + REDIS_PATIENCE_SECONDS
    if not await answers(url, lambda: time.monotonic() < deadline):
        where = urlsplit(url)
        raise Unavailable(
            f"The Redis server at {where.hostname}:{where.port or 6379} does not answer.",
            "Start it, check TUNERY_REDIS_URL and its password, or unset it to have one started.",
        )


def _our_program(verb: str, settings: Settings, home: Home, *, stop_seconds: float) -> Program:
    environment = {
        **os.environ,
        "TUNERY_HOME": str(settings.home),
        "TUNERY_REDIS_URL": settings.redis_url,
        "TUNERY_SECRET": settings.secret.get_secret_value(),
        "TUNERY_ENVIRONMENT": settings.environment,
        "TUNERY_HOST": settings.host,
        "TUNERY_PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
    }
    return Program(
        name=f"`tunery {verb}`",
        command=(sys.executable, "-P", "-m", "api.cli", verb, "--exit-with-parent"),
        log=home.fresh_log("api" if verb == "serve" else verb),
        environment=environment,
        stop_seconds=stop_seconds,
    )


async def _keep(
    keepers: Sequence[Keeper],
    stop: asyncio.Event,
    when_ready: Callable[[], Coroutine[None, None, None]],
) -> None:
    """Return when asked to stop; raise what a keeper raises."""
    stopped: asyncio.Task[object] = asyncio.create_task(stop.wait())
    waiting: set[asyncio.Task[object]] = {stopped, asyncio.create_task(when_ready())}
    waiting |= {asyncio.create_task(keeper.keep()) for keeper in keepers}
    try:
        while not stopped.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _announce(url: str, api: Keeper, announce: Announce) -> None:
    answer = "no answer yet"
    try:
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(timeout=5.0) as client:
            while True:
                try:
                    response = await client.get(f"{url}/health/ready")
                except httpx.HTTPError as error:
                    answer = str(error) or type(error).__name__
                else:
                    if response.is_success:
                        break
                    answer = response.text[:300]
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise api.failure(f"was not ready after {READY_SECONDS:.0f} s ({answer})") from None
    announce(url)
