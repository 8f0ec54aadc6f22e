"""Secrets can come from files, and a mistyped setting name is an error: the program does not start."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from idp import config as idp_config
from idp.known_settings import NAMES as IDP_NAMES
from shared.setting_names import FILE, MAX_BYTES, SettingNames
from shared.settings import SettingsRefused
from sp import config as sp_config
from sp.known_settings import NAMES as SP_NAMES

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-key-for-these-tests-0123456789"
OLDER = "an-older-key-for-these-tests-0123456789"
Load = Callable[[Mapping[str, str]], tuple[str, ...]]


@pytest.fixture(params=["SP_", "IDP_"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def load(prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Return the function that loads one program's settings, given without their prefix, and returns its keys."""
    monkeypatch.chdir(tmp_path)

    def load(settings: Mapping[str, str]) -> tuple[str, ...]:
        given = {"INSTANCE": str(tmp_path / "instance"), **settings}
        environ = {prefix + name: value for name, value in given.items()}
        if prefix == "SP_":
            return sp_config.load(environ).secret_keys
        monkeypatch.setattr(idp_config, "_values", lambda: environ)
        return idp_config.load().secret_keys

    return load


def mistakes_of(load: Load, settings: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        load(settings)
    return refused.value.mistakes


def written(folder: Path, content: str | bytes, name: str = "secret") -> str:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


# --- Secrets from files ---


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_key_comes_from_a_file_without_the_line_end(load: Load, tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, SECRET + ending)
    assert load({"SECRET_KEY_FILE": path}) == (SECRET,)
    assert load({"SECRET_KEY": f"file:{path}"}) == (SECRET,)
    assert load({"SECRET_KEY": "file:secret"}) == (SECRET,)  # from the folder in which the program starts
    assert not (tmp_path / "instance" / "demo.json").exists()


@pytest.mark.parametrize("separator", ["\n", "\n\n", ",", " , \n"])
def test_older_keys_come_from_a_file_one_in_a_line(load: Load, tmp_path: Path, separator: str) -> None:
    path = written(tmp_path, f"{OLDER}{separator}{OLDER[::-1]}\n")
    assert load({"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS_FILE": path}) == (SECRET, OLDER, OLDER[::-1])


def test_the_database_and_its_password_come_from_a_file(
    prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"
    values = {f"{prefix}SECRET_KEY": SECRET, f"{prefix}DATABASE_URL_FILE": written(tmp_path, url + "\n")}
    values[f"{prefix}INSTANCE"] = str(tmp_path / "instance")
    monkeypatch.setattr(idp_config, "_values", lambda: values)
    assert (sp_config.load(values) if prefix == "SP_" else idp_config.load()).database_url == url


def test_the_replay_store_and_its_password_come_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "redis://:password@127.0.0.1/0\n")
    environ = {"SP_SECRET_KEY": SECRET, "SP_INSTANCE": str(tmp_path), "SP_REPLAY_URL_FILE": path}
    assert sp_config.load(environ).replay_url == "redis://:password@127.0.0.1/0"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("", "is empty"),
        (" \n", "is empty"),
        (b"\xff" * 40, "is not UTF-8 text"),
        (SECRET + "\0", "contains a NUL"),
        ("x" * (MAX_BYTES + 1), "has more than"),
    ],
)
def test_attack_a_secret_that_cannot_be_read_never_starts_a_demo(
    load: Load, prefix: str, tmp_path: Path, content: str | bytes | None, reason: str
) -> None:
    path = str(tmp_path / "missing") if content is None else written(tmp_path, content)
    for settings in ({"SECRET_KEY_FILE": path}, {"SECRET_KEY": f"file:{path}"}):
        (mistake,) = mistakes_of(load, settings)
        assert mistake.startswith(f"{prefix}SECRET_KEY cannot be read from the file {path}: ")
        assert reason in mistake
    assert not (tmp_path / "instance" / "demo.json").exists()


def test_a_secret_that_is_given_twice_is_a_mistake(load: Load, prefix: str, tmp_path: Path) -> None:
    settings = {"SECRET_KEY": SECRET, "SECRET_KEY_FILE": written(tmp_path, SECRET)}
    assert mistakes_of(load, settings) == [
        f"{prefix}SECRET_KEY and {prefix}SECRET_KEY_FILE are both set: keep one of them"
    ]


def test_a_secret_of_a_file_is_as_long_as_any_other_and_in_no_message(load: Load, prefix: str, tmp_path: Path) -> None:
    (mistake,) = mistakes_of(load, {"SECRET_KEY_FILE": written(tmp_path, "hunter2\n")})
    assert mistake.startswith(f"{prefix}SECRET_KEY must have 32 characters or more")


def test_attack_an_older_key_is_as_long_as_the_main_one(load: Load, prefix: str) -> None:
    """It verifies cookies as well, so a short one lets a stranger sign them."""
    (mistake,) = mistakes_of(load, {"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": f"{OLDER}, hunter2"})
    assert mistake.startswith(f"{prefix}SECRET_KEY_FALLBACKS must have 32 characters or more")
    assert load({"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": OLDER}) == (SECRET, OLDER)


# --- Names ---


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SECERT_KEY", ": did you mean {}SECRET_KEY?"),
        ("TRUSTED_PROXY", ": did you mean {}TRUSTED_PROXIES?"),
        ("SECRET_KEYFILE", ": did you mean {}SECRET_KEY_FILE?"),
        ("TRUSTED_PROXIES_FILE", ": did you mean {}TRUSTED_PROXIES?"),
        ("QQQQQQQQQQQQQQQQQQQQQQ", ""),
    ],
)
def test_an_unknown_name_is_a_mistake_and_the_nearest_one_is_named(
    load: Load, prefix: str, name: str, hint: str
) -> None:
    (mistake,) = mistakes_of(load, {"SECRET_KEY": SECRET, name: ""})
    assert mistake == f"{prefix}{name} is not a setting of this program{hint.format(prefix)}"


def test_the_settings_of_the_other_program_are_not_looked_at(
    prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = {"SP_": "IDP_", "IDP_": "SP_"}[prefix]
    values = {f"{prefix}SECRET_KEY": SECRET, f"{prefix}INSTANCE": str(tmp_path), f"{other}NONSENSE": "x", "SPX": "x"}
    monkeypatch.setattr(idp_config, "_values", lambda: values)
    assert sp_config.load(values) if prefix == "SP_" else idp_config.load()


def test_a_name_that_the_settings_file_asks_for_is_known(load: Load, prefix: str, tmp_path: Path) -> None:
    kind, preset = ("providers", "zendesk") if prefix == "SP_" else ("services", "zendesk")
    file = tmp_path / "settings.toml"
    more = 'login_url = "https://idp.example/"' if prefix == "SP_" else 'return_url = "https://a.example/access/jwt"'
    file.write_text(f'[{kind}.a]\npreset = "{preset}"\n{more}\nkeys = ["env:{prefix}KEY_OF_A"]\n')
    settings = {"SECRET_KEY": SECRET, "CONFIG": str(file), "KEY_OF_A": SECRET}
    assert load(settings) == (SECRET,)
    (mistake,) = mistakes_of(load, {**settings, "KEY_OF_B": SECRET})
    assert mistake.startswith(f"{prefix}KEY_OF_B is not a setting")


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (SP_NAMES, ["sp/known_settings.py", "sp/config.py"]),
        (
            IDP_NAMES,
            ["idp/known_settings.py", "idp/config.py", "idp/examples/ldap_people.py", "idp/examples/sql_people.py"],
        ),
    ],
)
def test_every_name_that_is_known_is_read_and_the_other_way_round(names: SettingNames, files: list[str]) -> None:
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    a, b = re.search(r"^NAMES = .*?^\)$", text, re.DOTALL | re.MULTILINE).span()  # type: ignore[union-attr]
    read = set(re.findall(rf'"({names.prefix}[A-Z0-9_]+)"', text[:a] + text[b:]))
    of_both = re.findall(r'f"{prefix}([A-Z_]+)"', (ROOT / "shared" / "branding.py").read_text(encoding="utf-8"))
    assert of_both
    read |= {names.prefix + name for name in of_both}
    assert names.plain.keys() | names.secret.keys() == read
    assert not [name for name in read if name.endswith(FILE)]
