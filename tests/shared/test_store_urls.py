"""The URL of a store holds a password: one that cannot be read is refused at once, and no part of it is printed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from idp import config as idp_config
from shared.schema import engine_options
from shared.settings import SettingsRefused
from sp import config as sp_config

KEY = "k" * 40
DATABASE = "postgresql+psycopg://"
REFUSED_REDIS = [
    "redis://:S3cret/Pw@127.0.0.1:1/0",
    "redis://:S3cret#Pw@127.0.0.1:1/0",
    "redis://:S3cret?Pw@127.0.0.1:1/0",
    "redis://:S3cret@Pw@127.0.0.1:1/0",
    "redis://S3cret:1/Pw@127.0.0.1:1/0",
    "redis://S3cret:1?Pw=Pw@127.0.0.1:1/0",
    "redis://S3cret:1#Pw@127.0.0.1:1/0",
    "redis://:S3cretPw@[::1/0",
    "redis://:S3cretPw@127.0.0.1:notaport/0",
    "redis://:S3cretPw@127.0.0.1:1/abc",
    "redis://:S3cretPw@127.0.0.1:1/0?socket_timeout=Pw",
    "redis://127.0.0.1:1/0?S3cret=Pw",
    "unix:///run/redis.sock?S3cret=Pw",
]
REFUSED_DATABASE = [
    f"{DATABASE}u:S3cret@Pw@127.0.0.1:1/db",
    f"{DATABASE}u:S3cret@Pw/x@127.0.0.1:1/db",
    f"{DATABASE}u:S3cret@127.0.0.1?Pw@127.0.0.1:1/db",
    f"{DATABASE}S3cret/Pw:x@127.0.0.1:1/db",
    f"{DATABASE}u:x@[S3cret@Pw]:1/db",
    f"{DATABASE}u:x@[S3cretPw]:1/db",
    f"{DATABASE}u:x@127.0.0.1:S3cretPw/db",
]
READ_REDIS = [
    "redis://:S3cret%2FPw%40@127.0.0.1:6379/0",
    "redis://127.0.0.1",
    "rediss://u:p:q@[::1]:6379/",
    "redis://127.0.0.1?db=1",
    "unix:///run/redis.sock?db=1&password=x",
]
READ_DATABASE = [
    f"{DATABASE}u:S3cret%40Pw@127.0.0.1:5432/db",
    f"{DATABASE}u:base/64+=@[::1]:5432/db?sslmode=require",
    f"{DATABASE}u@db.example.org/db",
    f"{DATABASE}/db",
    "sqlite:////srv/a@b/file:sp.sqlite3",
]
Load = Callable[[str, str], object]


@pytest.fixture(params=["SP", "IDP"])
def load(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return the function that reads the settings of one of the programs, with one added."""

    def load(name: str, value: str) -> object:
        monkeypatch.chdir(tmp_path)
        values = {"INSTANCE": str(tmp_path), "SECRET_KEY": KEY, name: value}
        for setting, text in values.items():
            monkeypatch.setenv(f"{request.param}_{setting}", text)
        return sp_config.load() if request.param == "SP" else idp_config.load()

    return load


def load_redis(url: str, folder: Path) -> object:
    return sp_config.load({"SP_INSTANCE": str(folder), "SP_SECRET_KEY": KEY, "SP_REPLAY_URL": url})


def quotes_nothing(refused: SettingsRefused) -> bool:
    return not any(part in str(refused) for part in ("S3cret", "Pw")) and refused.__cause__ is None


@pytest.mark.parametrize("url", REFUSED_DATABASE)
def test_attack_a_password_in_the_url_of_a_database_is_misread_and_printed(load: Load, url: str) -> None:
    with pytest.raises(SettingsRefused, match="DATABASE_URL") as refused:
        load("DATABASE_URL", url)
    assert quotes_nothing(refused.value)


def test_attack_a_part_of_a_password_that_is_read_as_a_port_is_printed() -> None:
    with pytest.raises(SettingsRefused, match="SP_DATABASE_URL") as refused:
        engine_options(f"{DATABASE}127.0.0.1:1/db?port=S3cret", "SP_DATABASE_URL")
    assert quotes_nothing(refused.value)


@pytest.mark.parametrize("url", REFUSED_REDIS)
def test_attack_a_password_in_the_url_of_a_redis_is_misread_and_printed(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="SP_REPLAY_URL") as refused:
        load_redis(url, tmp_path)
    assert quotes_nothing(refused.value)


@pytest.mark.parametrize("url", READ_DATABASE)
def test_the_url_of_a_database_that_is_spelled_well_is_taken(load: Load, url: str) -> None:
    load("DATABASE_URL", url)


@pytest.mark.parametrize("url", READ_REDIS)
def test_the_url_of_a_redis_that_is_spelled_well_is_taken(url: str, tmp_path: Path) -> None:
    load_redis(url, tmp_path)


@pytest.mark.parametrize("url", ["sqlite:///file:sp.sqlite3?uri=true", "sqlite:///FILE:/x?uri=1", "sqlite:///file:x"])
def test_attack_a_database_by_its_file_url_would_be_readable_for_everyone(load: Load, url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="DATABASE_URL"):
        load("DATABASE_URL", url)
    assert not list(tmp_path.glob("*sqlite3*"))


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 20, "0" * 11])
def test_attack_a_number_of_more_digits_than_a_machine_counts_ends_the_start_with_a_sentence(
    load: Load, digits: str
) -> None:
    with pytest.raises(SettingsRefused, match="SESSION_LIFETIME must be a whole number") as refused:
        load("SESSION_LIFETIME", digits)
    assert len(str(refused.value)) < 200
