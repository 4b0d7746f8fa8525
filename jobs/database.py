"""Connections and migrations.

Tortoise rebuilds a SQLite table by creating a new one, copying and dropping the old. With foreign
keys enforced, the drop cascades into child tables; and neither secondary indexes nor UNIQUE constraints
are made again. So migrations run with foreign keys off, under a lock, and what is missing is made, and
the result checked, before it counts.
"""

import fcntl
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it ships none
from tortoise import Tortoise, connections
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionContext
from tortoise.exceptions import DBConnectionError, OperationalError
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction
from tortoise.utils import get_schema_sql

from jobs.errors import Unavailable
from jobs.settings import Settings

__all__ = ["AWAY", "FOR_MAKEMIGRATIONS", "connect", "migrate", "ping", "transaction"]


AWAY: Final = (
    DBConnectionError,
    OperationalError,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # said of a pooled connection that the server ended meanwhile
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
)
"""What a statement raises where the database is locked, restarting, full or out of reach: nothing
was written, and the same may work a moment later. Tortoise lets asyncpg's own errors through."""

SQLITE: Final = "sqlite://"
BUSY_MILLISECONDS: Final = 5000
_APP = {"models": ["jobs.models"], "migrations": "jobs.migrations", "default_connection": "default"}
_ADVISORY_LOCK = 7_461_033
_INDEX = "INDEX IF NOT EXISTS"
_UNIQUES: Final = """
SELECT tables.name AS "table", (
    SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(indexes.name) ORDER BY seqno)
) AS "columns"
FROM sqlite_master AS tables, pragma_index_list(tables.name) AS indexes
WHERE tables.type = 'table' AND indexes."unique" AND indexes.origin != 'pk'
"""
"""What must be unique in which table, its columns separated by commas."""


def orm_config(url: str, *, foreign_keys: bool = True) -> dict[str, Any]:
    """What Tortoise is told; also the target of its `makemigrations` command."""
    connection: str | dict[str, Any] = _postgres_url(url)
    if url.startswith(SQLITE):  # not as a URL, in which a folder's name may not have every letter
        credentials = {
            "file_path": url.removeprefix(SQLITE),
            "busy_timeout": BUSY_MILLISECONDS,
            "foreign_keys": "ON" if foreign_keys else "OFF",
        }
        connection = {"engine": "tortoise.backends.sqlite", "credentials": credentials}
    return {"connections": {"default": connection}, "apps": {"jobs": _APP}, "use_tz": True}


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[None]:
    """Open the database for this process, and close it again."""
    await Tortoise.init(config=orm_config(settings.database), _enable_global_fallback=True)
    try:
        yield
    finally:
        await Tortoise.close_connections()


@asynccontextmanager
async def transaction() -> AsyncIterator[None]:
    """One transaction, or a savepoint inside one, that leaves nothing behind when cancelled.

    Tortoise takes the connection before it says BEGIN; a task cancelled or refused in between
    would never give it back, and every later statement of this process would wait for ever.
    """
    context = in_transaction()
    try:
        await context.__aenter__()
    except BaseException as error:
        if hasattr(context, "token"):  # it holds the connection
            with suppress(*AWAY):
                await _leave(context, error)
        raise
    try:
        yield
    except BaseException as error:
        with suppress(*AWAY):  # a lost connection is rolled back by its server
            await _leave(context, error)
        raise
    await _leave(context, None)


async def _leave(context: TransactionContext, error: BaseException | None) -> None:
    """End a transaction; whatever comes of it, this task sees the database itself again.

    Tortoise first gives the connection back to the pool. Where that fails, for the server has ended it
    just then, it leaves the task with a transaction that is over, which fails at every statement.
    """
    try:
        if error is None:
            await context.__aexit__(None, None, None)
        else:
            await context.__aexit__(type(error), error, error.__traceback__)
    finally:
        with suppress(ValueError):  # it is used up, as it should be
            connections.reset(getattr(context, "token", None))


async def ping() -> None:
    """Raises what the driver raises when the database does not answer."""
    await connections.get("default").execute_query("SELECT 1")


async def migrate(settings: Settings) -> list[str]:
    """Bring the database up to date; the names of the migrations that this applied.

    Safe to call from several processes at once. Raises `Unavailable` where a migration left a
    dangling reference, or the database has migrations that this release does not know.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _file_lock(settings.home / "migrate.lock"):
        url = settings.database
        await Tortoise.init(config=orm_config(url, foreign_keys=False))
        try:
            connection = connections.get("default")
            if url.startswith(SQLITE):
                return await _migrate_sqlite(connection)
            return await _migrate_postgres(connection)
        finally:
            await Tortoise.close_connections()


async def _migrate_postgres(connection: BaseDBAsyncClient) -> list[str]:
    async with connection.acquire_connection() as held:  # back in the pool, it loses its locks
        await held.execute(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
        return await _apply(connection)


async def _migrate_sqlite(connection: BaseDBAsyncClient) -> list[str]:
    applied = await _apply(connection)
    await _make_missing_indexes(connection)
    await _make_missing_uniques(connection)
    dangling = await connection.execute_query_dict("PRAGMA foreign_key_check")
    if dangling:
        raise Unavailable(
            f"After migrating, {len(dangling)} rows refer to rows that are gone: {dangling[:3]}",
            "Restore the database from its backup and report this.",
        )
    return applied


async def _make_missing_indexes(connection: BaseDBAsyncClient) -> None:
    """SQLite alters a column by a new table, and Tortoise gives that one no indexes."""
    statements = get_schema_sql(connection, safe=True).split(";")
    await connection.execute_script(";".join(each for each in statements if _INDEX in each))


async def _make_missing_uniques(connection: BaseDBAsyncClient) -> None:
    """Nor does Tortoise give it the UNIQUE constraints; an index keeps the same promise."""
    with closing(sqlite3.connect(":memory:")) as asked:
        asked.executescript(get_schema_sql(connection, safe=True))
        wanted = set(asked.execute(_UNIQUES).fetchall())
    there = await connection.execute_query_dict(_UNIQUES)
    for table, columns in sorted(wanted - {(row["table"], row["columns"]) for row in there}):
        name = f"uid_{table}_{columns.replace(',', '_')}"
        listed = ", ".join(f'"{column}"' for column in columns.split(","))
        await connection.execute_script(f'CREATE UNIQUE INDEX "{name}" ON "{table}" ({listed})')


async def _apply(connection: BaseDBAsyncClient) -> list[str]:
    applied: list[str] = []

    def note(event: str, _app: str, name: str) -> None:
        if event == "apply_done":
            applied.append(name)

    executor = MigrationExecutor(connection, {"jobs": _APP})
    await _refuse_another_history(executor)
    await executor.migrate(direction="forward", progress=note)
    return applied


async def _refuse_another_history(executor: MigrationExecutor) -> None:
    """Tables that a migration unknown here has changed may lack or hold what this code does not expect."""
    await executor.loader.build_graph()
    known = executor.loader.graph.nodes
    strange = [key.name for key in await executor.recorder.applied_migrations() if key not in known]
    if strange:
        raise Unavailable(
            f"The database is of another release of Tunery; unknown here: {', '.join(strange)}.",
            "Use the release that made it, or begin anew with another TUNERY_HOME or TUNERY_DATABASE_URL.",
        )


def _postgres_url(url: str) -> str:
    """With the one scheme that Tortoise knows it by."""
    return url.replace("postgresql://", "postgres://", 1)


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


FOR_MAKEMIGRATIONS: Final = orm_config(f"{SQLITE}:memory:")
"""What `make migration` compares the tables with; no database is opened for it."""
