"""The verbs that work on this machine's own service."""

from pathlib import Path

import pytest

from api.local.home import local_settings
from jobs.access import Role
from jobs.database import connect, migrate
from jobs.models import User
from tests.api.cli.shell import Shell

SCHEMA = Path(__file__).parents[3] / "schema" / "schema.graphql"


async def test_a_home_is_migrated_and_gets_its_first_account(shell: Shell, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = local_settings({"home": home})
    first = await shell.run("migrate", "--home", str(home))
    again = await shell.run("migrate", "--home", str(home))
    assert first.out.startswith("Applied: 0001_initial")
    assert again.out == "The database is up to date.\n"
    ran = await shell.run(
        "create-user", "Ada@Example.org", "--home", str(home), given="a long password\n"
    )
    assert ran.out == "Made the account ada@example.org with the role ADMIN.\n"
    async with connect(settings):
        assert (await User.get()).role == Role.ADMIN


@pytest.mark.parametrize(
    ("email", "password", "told"),
    [
        ("ada@example.org", "short", "The password has 5 characters."),
        ("no address", "a long password", "is not an email address"),
    ],
)
async def test_a_bad_account_is_refused(
    shell: Shell, tmp_path: Path, email: str, password: str, told: str
) -> None:
    settings = local_settings({"home": tmp_path})
    await migrate(settings)
    shell.setenv("TUNERY_PASSWORD", password)
    ran = await shell.run("create-user", email, "--home", str(tmp_path))
    assert ran.code == 1
    assert told in ran.err
    async with connect(settings):
        assert await User.all().count() == 0


async def test_a_database_that_was_never_migrated_is_told_with_the_remedy(
    shell: Shell, tmp_path: Path
) -> None:
    local_settings({"home": tmp_path})
    shell.setenv("TUNERY_PASSWORD", "a long password")
    ran = await shell.run("create-user", "ada@example.org", "--home", str(tmp_path))
    assert ran.code == 1
    assert "tunery migrate" in ran.err


@pytest.mark.parametrize("verb", ["serve", "worker", "migrate"])
async def test_a_service_without_a_secret_does_not_start(
    shell: Shell, tmp_path: Path, verb: str
) -> None:
    ran = await shell.run(verb, "--home", str(tmp_path))
    assert ran.code == 1
    assert ran.err.splitlines()[0] == "Error: TUNERY_SECRET: is not set"
    assert "Traceback" not in ran.err


async def test_a_weak_secret_is_refused_with_a_way_to_make_one(
    shell: Shell, tmp_path: Path
) -> None:
    shell.setenv("TUNERY_SECRET", "short")
    ran = await shell.run("migrate", "--home", str(tmp_path))
    assert ran.code == 1
    assert "at least 32 characters" in ran.err


async def test_the_schema_that_is_printed_is_the_one_that_is_kept(shell: Shell) -> None:
    assert (await shell.run("print-schema")).out == SCHEMA.read_text(encoding="utf-8")
