"""Migrations of filled databases, by several processes, and settings that are refused."""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from tortoise import Tortoise, connections
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.utils import get_schema_sql

from jobs import database
from jobs.database import connect, migrate
from jobs.errors import Unavailable
from jobs.models import TrainingJob
from jobs.service import Service
from jobs.settings import Settings
from tests.conftest import SECRET
from tests.factories import make_job
from tests.jobs.stage import as_environment, make_viewer, start_python

MIGRATIONS = sorted(
    path.stem for path in (Path(database.__file__).parent / "migrations").glob("0*.py")
)

REBUILD = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("jobs", "NEWEST")]

    operations = [
        ops.AlterField(
            model_name="TrainingJob", name="dataset_name", field=fields.CharField(max_length=200)
        ),
        ops.AlterField(
            model_name="User", name="password_hash", field=fields.CharField(max_length=300)
        ),
    ]
"""

MIGRATIONS = sorted(
    path.stem for path in (Path(database.__file__).parent / "migrations").glob("0*.py")
)

MIGRATE = """
import asyncio, json
from jobs.database import migrate
from jobs.settings import Settings
print(json.dumps(asyncio.run(migrate(Settings()))))
"""

TABLES = {
    *("audit_entries", "base_models", "checkpoints", "datasets", "derivations", "epochs"),
    *("examinations", "exports", "token_examinations"),
    *("job_events", "model_versions", "training_jobs", "uploads", "users", "workers"),
}


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as file:
        return file.execute(query).fetchall()


def indexes(path: Path) -> set[tuple[object, ...]]:
    return set(
        look(path, "SELECT name, tbl_name FROM sqlite_master WHERE sql LIKE 'CREATE INDEX %'")
    )


def uniques(path: Path) -> set[tuple[object, ...]]:
    """What must be unique in which table, by a constraint or an index."""
    found = set()
    for (table,) in look(path, "SELECT name FROM sqlite_master WHERE type='table'"):
        for _, name, is_unique, origin, _ in look(path, f'PRAGMA index_list("{table}")'):
            if is_unique and origin != "pk":
                columns = look(path, f'PRAGMA index_info("{name}")')
                found.add((table, tuple(column for *_, column in columns)))
    return found


def counts(path: Path) -> dict[str, object]:
    return {table: look(path, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def test_migrating_twice_applies_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new" / "home", secret=SECRET)
    assert await migrate(settings) == MIGRATIONS
    file = settings.home / "tunery.db"
    before = look(file, "SELECT sql FROM sqlite_master ORDER BY name")
    assert await migrate(settings) == []
    assert look(file, "SELECT sql FROM sqlite_master ORDER BY name") == before
    names = {row[0] for row in look(file, "SELECT name FROM sqlite_master WHERE type='table'")}
    assert names >= TABLES


@pytest.mark.slow
async def test_processes_that_migrate_at_once_do_it_once(tmp_path: Path) -> None:
    environment = os.environ | as_environment(Settings(home=tmp_path, secret=SECRET))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MIGRATE),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted((json.loads(output) for output, _ in outputs), key=len) == [[], [], MIGRATIONS]


async def test_every_index_of_the_models_is_there(service: Service) -> None:
    file = service.settings.home / "tunery.db"
    declared = get_schema_sql(connections.get("default"), safe=False)
    made = {str(name) for name, _ in indexes(file)}
    assert made == set(re.findall(r'CREATE (?:UNIQUE )?INDEX "(\w+)"', declared))
    for name in made:
        look(file, f'DROP INDEX "{name}"')
    assert await _migrate_elsewhere(service.settings) == []
    assert {str(name) for name, _ in indexes(file)} == made


async def test_what_the_models_want_unique_is(service: Service, tmp_path: Path) -> None:
    declared = tmp_path / "declared.db"
    with sqlite3.connect(declared) as file:
        file.executescript(get_schema_sql(connections.get("default"), safe=False))
    kept = {("tortoise_migrations", ("app", "name"))}
    found = uniques(service.settings.home / "tunery.db") - kept
    assert found == uniques(declared)
    assert {("model_versions", ("job_id",)), ("model_versions", ("model_id", "version"))} <= found


async def test_a_filled_database_keeps_rows_and_indexes_when_a_table_is_rebuilt(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make_viewer()
    for _ in range(3):
        await make_job(viewer, service)
    await service.queue.redis.flushall()
    copy = tmp_path / "copy"
    copy.mkdir()
    with sqlite3.connect(tmp_path / "tunery.db") as file, sqlite3.connect(copy / "tunery.db") as to:
        file.backup(to)
    before, kept = counts(copy / "tunery.db"), indexes(copy / "tunery.db")
    unique = uniques(copy / "tunery.db")
    assert before["job_events"] == before["training_jobs"] == 3
    _add_migration(tmp_path / "packages", REBUILD, monkeypatch)
    settings = service.settings.model_copy(update={"home": copy})
    assert await _migrate_elsewhere(settings) == ["9999_rebuild"]
    assert counts(copy / "tunery.db") == before
    assert indexes(copy / "tunery.db") == kept
    assert uniques(copy / "tunery.db") == unique
    ddl = look(copy / "tunery.db", "SELECT sql FROM sqlite_master WHERE name='training_jobs'")
    assert "VARCHAR(200)" in str(ddl[0][0])
    assert look(copy / "tunery.db", "PRAGMA foreign_key_check") == []


async def test_a_database_of_another_release_is_refused_by_name(settings: Settings) -> None:
    with sqlite3.connect(settings.home / "tunery.db") as other:
        other.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at)"
            " VALUES ('jobs', '0900_of_tomorrow', '2030-01-01')"
        )
    with pytest.raises(
        Unavailable, match="another release of Tunery; unknown here: 0900_of_tomorrow"
    ) as raised:
        await _migrate_elsewhere(settings)
    assert "TUNERY_HOME" in str(raised.value.remedy)


async def test_an_index_that_a_migration_takes_away_stays_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.home / "tunery.db"
    with sqlite3.connect(file) as other:
        other.execute('CREATE INDEX "idx_of_old" ON "users" ("role")')
    _add_migration(tmp_path / "packages", REBUILD, monkeypatch)
    kept = indexes(file) - {("idx_of_old", "users")}
    assert await _migrate_elsewhere(settings) == ["9999_rebuild"]
    assert indexes(file) == kept


def _add_migration(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with our migrations and one more."""
    package = folder / "more_migrations"
    shutil.copytree(Path(database.__file__).parent / "migrations", package)
    (package / "9999_rebuild.py").write_text(source.replace("NEWEST", MIGRATIONS[-1]))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(database._APP, "migrations", "more_migrations")
    for name in [name for name in sys.modules if name.startswith("more_migrations")]:
        monkeypatch.delitem(sys.modules, name)


async def _migrate_elsewhere(settings: Settings) -> list[str]:
    """In a context of its own: the test's service keeps its connections."""
    return await asyncio.create_task(migrate(settings))


async def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    name = "a folder, 50%20 für a?b=c#d"
    settings = Settings(home=tmp_path / name, secret=SECRET)
    await migrate(settings)
    async with connect(settings):
        assert await TrainingJob.all().count() == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "tunery.db").is_file()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SECRET", "short", "at least 32 characters"),
        ("SECRET", "", "at least 32 characters"),
        ("PORT", "99999", "less than or equal to 65535"),
        ("PORT", "http", "valid integer"),
        ("ENVIRONMENT", "staging", "'development' or 'production'"),
        ("DATABASE_URL", "mysql://root@db/tunery", "sqlite:// or postgres://"),
        ("REDIS_URL", "127.0.0.1:6379", "redis://, rediss:// or unix://"),
        ("WORKER_SLOTS", "0", "greater than or equal to 1"),
        ("LEASE_SECONDS", "1", "greater than or equal to 3"),
        ("MAX_CRASHES", "0", "greater than or equal to 1"),
    ],
)
def test_a_bad_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv("TUNERY_SECRET", SECRET)
    monkeypatch.setenv(f"TUNERY_{variable}", value)
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_a_secret_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNERY_SECRET", raising=False)
    with pytest.raises(ValidationError, match="secret"):
        Settings()


def test_the_secret_is_not_printed(settings: Settings) -> None:
    assert SECRET not in repr(settings) + str(settings.model_dump())


@pytest.mark.slow
async def test_no_module_of_this_floor_loads_torch() -> None:
    program = (
        "import importlib, pkgutil, sys, jobs\n"
        "names = [m.name for m in pkgutil.walk_packages(jobs.__path__, 'jobs.')]\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "assert len(names) > 25, names\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert await (await start_python(program)).wait() == 0


async def test_the_migrations_make_the_tables_that_the_models_describe() -> None:
    config = database.FOR_MAKEMIGRATIONS
    await Tortoise.init(config=config)
    try:
        pending = await MigrationAutodetector(Tortoise.apps, config["apps"]).changes()
    finally:
        await Tortoise.close_connections()
    assert [(each.name, each.operations) for each in pending] == []
