"""Connections and migrations.

Tortoise rebuilds a SQLite table by creating a new one, copying and dropping the old. With foreign
keys enforced, the drop cascades into child tables; and secondary indexes are not made again. So
migrations run with foreign keys off, under a lock, and the result is checked before it counts.
"""

import fcntl
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tortoise import Tortoise, connections
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.migrations.executor import MigrationExecutor

from jobs.errors import Unavailable
from jobs.settings import Settings

__all__ = ["connect", "migrate", "ping"]

logger = logging.getLogger(__name__)

_APP = {"models": ["jobs.models"], "migrations": "jobs.migrations", "default_connection": "default"}
_ADVISORY_LOCK = 7_461_033
_LIST_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"


def orm_config(url: str) -> dict[str, Any]:
    """What Tortoise is told; also the target of its `makemigrations` command."""
    return {"connections": {"default": url}, "apps": {"jobs": _APP}, "use_tz": True}


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[None]:
    """Open the database for this process, and close it again."""
    await Tortoise.init(config=orm_config(_tuned(settings.database)), _enable_global_fallback=True)
    try:
        yield
    finally:
        await Tortoise.close_connections()


async def ping() -> None:
    """Raises what the driver raises when the database does not answer."""
    await connections.get("default").execute_query("SELECT 1")


async def migrate(settings: Settings) -> list[str]:
    """Bring the database up to date; the names of the migrations that this applied.

    Safe to call from several processes at once. Raises `Unavailable` where a migration left a
    dangling reference or lost an index.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _file_lock(settings.home / "migrate.lock"):
        url = settings.database
        is_sqlite = url.startswith("sqlite")
        await Tortoise.init(config=orm_config(_without_foreign_keys(url) if is_sqlite else url))
        try:
            connection = connections.get("default")
            if is_sqlite:
                return await _migrate_sqlite(connection)
            return await _migrate_postgres(connection)
        finally:
            await Tortoise.close_connections()


async def _migrate_postgres(connection: BaseDBAsyncClient) -> list[str]:
    await connection.execute_query(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
    try:
        return await _apply(connection)
    finally:
        await connection.execute_query(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})")


async def _migrate_sqlite(connection: BaseDBAsyncClient) -> list[str]:
    before = await connection.execute_query_dict(_LIST_INDEXES)
    applied = await _apply(connection)
    after = {row["name"] for row in await connection.execute_query_dict(_LIST_INDEXES)}
    tables = await _tables(connection)
    for row in before:
        if row["name"] not in after and any(f'"{table}"' in row["sql"] for table in tables):
            logger.warning("index %s was lost by a table rebuild and is made again", row["name"])
            await connection.execute_script(row["sql"])
    dangling = await connection.execute_query_dict("PRAGMA foreign_key_check")
    if dangling:
        raise Unavailable(
            f"After migrating, {len(dangling)} rows refer to rows that are gone: {dangling[:3]}",
            "Restore the database from its backup and report this.",
        )
    return applied


async def _tables(connection: BaseDBAsyncClient) -> list[str]:
    rows = await connection.execute_query_dict("SELECT name FROM sqlite_master WHERE type='table'")
    return [row["name"] for row in rows]


async def _apply(connection: BaseDBAsyncClient) -> list[str]:
    applied: list[str] = []

    def note(event: str, _app: str, name: str) -> None:
        if event == "apply_done":
            applied.append(name)

    await MigrationExecutor(connection, {"jobs": _APP}).migrate(direction="forward", progress=note)
    return applied


def _tuned(url: str) -> str:
    return _with_parameters(url, "busy_timeout=5000") if url.startswith("sqlite") else url


def _without_foreign_keys(url: str) -> str:
    return _with_parameters(url, "busy_timeout=5000&foreign_keys=OFF")


def _with_parameters(url: str, parameters: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameters}"


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
