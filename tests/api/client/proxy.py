"""A wire between a client and a server that a test can cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """Forwards every byte, until it is cut; new connections are taken again at once."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.url = ""

    def cut(self) -> None:
        """Break every connection without a word."""
        for writer in self._open:
            writer.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream = await asyncio.open_connection(*self._target)
        self._open |= {writer, upstream[1]}
        await asyncio.gather(_pump(reader, upstream[1]), _pump(upstream[0], writer))
        self._open -= {writer, upstream[1]}


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def wire_to(address: str) -> AsyncIterator[Wire]:
    host, _, port = address.partition(":")
    wire = Wire(host, int(port))
    server = await asyncio.start_server(wire.take, "127.0.0.1", 0)
    async with server:
        wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield wire
        wire.cut()
