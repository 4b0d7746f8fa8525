"""The folder of an installation and the settings that follow from it."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.local import home as module
from api.local.home import Home, load_settings, local_settings
from jobs.errors import Conflict


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUNERY_SECRET", "TUNERY_HOME", "TUNERY_ENVIRONMENT", "TUNERY_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_new_home_gets_a_private_secret_that_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "home"
    first = local_settings({"home": folder})
    again = local_settings({"home": folder})
    assert first.secret == again.secret
    assert len(first.secret.get_secret_value()) == 64
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert first.environment == "development"
    assert "redis_url" not in first.model_fields_set


def test_the_environment_goes_before_the_home_and_the_given_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Home(tmp_path).create()
    monkeypatch.setenv("TUNERY_SECRET", "s" * 32)
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path))
    monkeypatch.setenv("TUNERY_PORT", "1234")
    monkeypatch.setenv("TUNERY_ENVIRONMENT", "production")
    settings = local_settings({"port": 4321})
    assert settings.secret.get_secret_value() == "s" * 32
    assert settings.home == tmp_path
    assert settings.port == 4321
    assert settings.environment == "production"


def test_a_server_without_any_secret_is_refused_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="secret"):
        load_settings({"home": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_follows_the_desktop_standard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert local_settings({}).home == tmp_path / "tunery"


def test_a_home_that_is_held_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_PATIENCE_SECONDS", 0.1)
    home = Home(tmp_path)
    with (
        home.locked("http://127.0.0.1:1234"),
        pytest.raises(Conflict, match=r"http://127\.0\.0\.1:1234"),
        home.locked("http://127.0.0.1:9"),
    ):
        pass
    with home.locked("http://127.0.0.1:1234"):
        pass


def test_a_large_log_is_moved_away_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    home.log("api").write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    assert home.fresh_log("api") == home.log("api")
    assert not home.log("api").exists()
    assert home.log("api.log").with_name("api.log.1").stat().st_size == 10 * 1024 * 1024 + 1
