"""Providers from a file: applied completely or not at all, unchanged the second time, with every key encrypted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from lab.forging import key_for
from shared.keys import load_key_set
from shared.settings import SettingsRefused
from sp.components import Components
from sp.database.models import ProviderKey, ProviderRecord, SettingsChange
from sp.providers.apply import Applied, ProvidersRefused
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_provider
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of

SECRET, NEWER = key_for("HS256").secret, key_for("HS256", "newer").secret
Document = dict[str, Mapping[str, Any]]


@pytest.fixture
def core(gateway: MakeGateway) -> Components:
    return core_of(gateway())


def apply(core: Components, document: Document, *, managed_by_file: bool = False) -> Applied:
    return core.provider_store.apply(document, actor="test", managed_by_file=managed_by_file)


def refused(core: Components, document: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ProvidersRefused) as refusal:
        core.provider_store.apply(document, actor="test")
    return refusal.value.mistakes


def names(core: Components) -> list[str]:
    return [stored.provider.name for stored in core.provider_store.load()]


def materials(core: Components, name: str) -> list[str]:
    """Return the keys of a provider, opened, newest first."""
    stored = next(stored for stored in core.provider_store.load() if stored.provider.name == name)
    return [core.vault.decrypt(key.sealed) for key in stored.keys]


# --- Applying ---


def test_what_was_applied_is_found_again(core: Components) -> None:
    settings = {"keys": [SECRET], "display_name": "Corporate", "max_age": 60, "mapping": {"id": "sub"}}
    assert apply(core, {"corporate": settings, "partner": {"keys": [NEWER]}}).created == ["corporate", "partner"]
    assert names(core) == ["corporate", "partner"]
    stored = core.provider_store.load()[0]
    assert stored.provider == parse_provider("corporate", {k: v for k, v in settings.items() if k != "keys"})
    assert materials(core, "corporate") == [SECRET]


def test_a_file_that_is_applied_twice_changes_nothing(core: Components) -> None:
    document: Document = {"corporate": {"keys": [SECRET], "deliveries": ["form", "query"]}}
    apply(core, document)
    before = core.provider_store.revision(), core.provider_store.load(), changes(core)
    again = apply(core, document)
    assert (again.created, again.changed, again.removed, again.unchanged) == ([], [], [], ["corporate"])
    assert (core.provider_store.revision(), core.provider_store.load(), changes(core)) == before


def test_every_change_grows_the_revision_and_no_other_call_does(core: Components) -> None:
    seen = [core.provider_store.revision()]
    for step in (
        lambda: apply(core, {"a": {"keys": [SECRET]}}),
        lambda: apply(core, {"a": {"keys": [SECRET], "enabled": False}}),
        lambda: apply(core, {"a": {"keys": [NEWER, SECRET], "enabled": False}}),
        lambda: core.provider_store.remove("a", actor="test"),
    ):
        step()
        seen.append(core.provider_store.revision())
    assert seen == sorted(set(seen))
    core.provider_store.remove("a", actor="test")
    apply(core, {})
    assert core.provider_store.revision() == seen[-1]


def test_a_provider_that_is_left_out_stays_unless_the_file_is_the_operators_own(core: Components) -> None:
    both: Document = {"a": {"keys": [SECRET]}, "b": {"keys": [NEWER]}}
    apply(core, both)
    apply(core, {"a": both["a"]})
    assert names(core) == ["a", "b"]
    apply(core, both, managed_by_file=True)
    assert apply(core, {"a": both["a"]}, managed_by_file=True).removed == ["b"]
    assert names(core) == ["a"]
    apply(core, {"c": {"keys": [SECRET]}})
    assert apply(core, {}, managed_by_file=True).removed == ["a"]
    assert names(core) == ["c"]  # never was the file's


def test_only_the_provider_chosen_last_is_the_default(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET], "default": True}})
    apply(core, {"b": {"keys": [NEWER], "default": True}})
    assert [stored.provider.name for stored in core.provider_store.load() if stored.provider.default] == ["b"]


# --- Keys ---


def test_keys_that_are_left_out_or_empty_stay(core: Components) -> None:
    apply(core, {"a": {"keys": [NEWER, SECRET]}})
    kept: list[dict[str, Any]] = [{}, {"keys": []}, {"max_age": 60}]
    for settings in kept:
        apply(core, {"a": settings})
        assert materials(core, "a") == [NEWER, SECRET]


def test_a_new_provider_without_a_key_gets_one_that_is_shown_once(core: Components) -> None:
    applied = apply(core, {"a": {}, "b": {"algorithm": "HS512", "keys": []}})
    assert set(applied.generated) == {"a", "b"}
    assert materials(core, "a") == [applied.generated["a"]]
    assert load_key_set([applied.generated["b"]], "HS512")
    assert apply(core, {"a": {}, "b": {"algorithm": "HS512"}}).generated == {}


def test_a_key_that_stays_keeps_its_row_and_the_order_is_the_files(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    row = core.provider_store.load()[0].keys[0].id
    apply(core, {"a": {"keys": [NEWER, SECRET]}})
    assert materials(core, "a") == [NEWER, SECRET]
    assert core.provider_store.load()[0].keys[1].id == row
    apply(core, {"a": {"keys": [NEWER]}})
    assert materials(core, "a") == [NEWER]


def test_the_database_holds_no_key_that_can_be_read(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    with core.database.engine.connect() as connection:
        tables = (ProviderKey, ProviderRecord, SettingsChange)
        rows = [list(connection.execute(select(table.__table__))) for table in tables]
    assert all(rows)
    assert SECRET not in str(rows)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"keys": ["short"]}, "the secret has 5 bytes"),
        ({"keys": [SECRET, SECRET + "\n"]}, "the same key is given twice"),
        ({"keys": [""]}, "the key is empty"),
        ({"keys": SECRET}, "must be a list of strings"),
        ({"keys": [7]}, "must be a list of strings"),
        ({"keys": [key_for("RS256").public_pem]}, "cannot be a shared secret"),
        ({"keys": [SECRET], "algorithm": "RS256"}, "this is neither a PEM nor a JWK"),
        ({"keys": [key_for("RS256").public_pem], "algorithm": "ES256"}, "needs an EC key"),
        ({"keys": [], "algorithm": "RS256"}, "needs a public key, or a JWKS endpoint"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_and_not_shown(core: Components, settings: dict[str, Any], why: str) -> None:
    mistakes = refused(core, {"a": settings})
    assert len(mistakes) == 1
    assert mistakes[0].startswith("a: keys: ")
    assert why in mistakes[0]
    assert SECRET not in mistakes[0]
    assert names(core) == []


def test_another_algorithm_needs_other_keys(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    assert refused(core, {"a": {"algorithm": "ES256"}})
    apply(core, {"a": {"algorithm": "ES256", "keys": [key_for("ES256").public_pem]}})
    assert materials(core, "a") == [key_for("ES256").public_pem]
    apply(core, {"b": {"algorithm": "RS256", "jwks_url": "https://idp.example.com/jwks"}})
    assert materials(core, "b") == []


def test_a_short_secret_is_taken_where_that_is_said(core: Components) -> None:
    apply(core, {"a": {"keys": ["short"], "allow_short_secret": True}})
    assert materials(core, "a") == ["short"]
    assert refused(core, {"a": {"allow_short_secret": False}})


# --- Errors ---


def test_one_mistake_anywhere_changes_nothing_and_all_of_them_are_named(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    before = core.provider_store.load(), core.provider_store.revision()
    mistakes = refused(
        core,
        {
            "a": {"keys": [SECRET], "max_age": 60},
            "b": {"max_age": -1, "unsolicited": "perhaps"},
            "c": {"keys": ["x"]},
            "1d": {},
            "e": "text",
            "F": {"default": True},
            "f": {"default": True},
        },
    )
    starts = ("1d: name", "b: max_age", "b: unsolicited", "c: keys", "e: must be", "f, f: only", "f: is named twice")
    assert all(any(mistake.startswith(start) for mistake in mistakes) for start in starts), mistakes
    assert len(mistakes) == len(starts)
    assert (core.provider_store.load(), core.provider_store.revision()) == before


# --- The audit trail ---


def changes(core: Components) -> list[tuple[str, str, str, Any]]:
    with core.database.engine.connect() as connection:
        rows = connection.execute(select(SettingsChange.__table__).order_by(SettingsChange.id)).all()
    return [(row.actor, row.action, row.subject, row.detail) for row in rows]


def test_who_changed_what_is_written_down_and_never_a_secret(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    apply(core, {"a": {"keys": [NEWER, SECRET], "max_age": 60}})
    core.provider_store.remove("a", actor="carol@example.com")
    found = changes(core)
    assert [(actor, action, subject) for actor, action, subject, _detail in found] == [
        ("test", "provider created", "a"),
        ("test", "provider changed", "a"),
        ("carol@example.com", "provider removed", "a"),
    ]
    changed = found[1][3]
    assert changed["max_age"] == [300, 60]
    assert set(changed) == {"max_age", "keys"}
    assert SECRET not in str(found)
    assert NEWER not in str(found)


def test_a_creation_tells_what_is_not_the_presets_and_which_keys(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    settings = {
        "preset": "loginradius",
        "algorithm": "HS512",
        "keys": [NEWER * 2, SECRET * 2],
        "max_age": 60,
        "auto_create": False,
        "login_url": "https://idp.example.com/",
        "issuer": {"expected": "https://idp.example.com"},
        "mapping": {"department": "dept", "groups": ""},
    }
    apply(core, {"b": settings})
    plain, other = (change[3] for change in changes(core))
    fingerprint = load_key_set([SECRET], "HS256").keys[0].fingerprint
    assert plain == {"preset": [None, "ispring"], "algorithm": [None, "HS256"], "keys": [None, [fingerprint]]}
    assert other == {
        "preset": [None, "loginradius"],
        "algorithm": [None, "HS512"],
        "max_age": [None, 60],
        "login_url": [None, "https://idp.example.com/"],
        "issuer.expected": [None, "https://idp.example.com"],
        "mapping.department": [None, "dept"],
        "mapping.groups": [None, ""],
        "keys": [None, [key.fingerprint for key in core.provider_store.load()[1].keys]],
    }


@pytest.mark.parametrize("way", ["by hand", "on the page", "by the file"])
def test_a_removal_tells_every_setting_that_there_was_and_no_key(core: Components, way: str) -> None:
    apply(core, {"a": {"keys": [SECRET], "max_age": 60, "deliveries": ["form"]}}, managed_by_file=way == "by the file")
    fingerprint = core.provider_store.load()[0].keys[0].fingerprint
    if way == "by hand":
        core.provider_store.remove("a", actor="carol@example.com")
    elif way == "on the page":
        core.provider_editor.remove("a", actor="carol@example.com")
    else:
        core.provider_store.apply({}, actor="carol@example.com", managed_by_file=True)
    actor, action, subject, detail = changes(core)[-1]
    assert (actor, action, subject) == ("carol@example.com", "provider removed", "a")
    assert {name: detail[name] for name in ("preset", "max_age", "deliveries", "mapping.id", "keys")} == {
        "preset": ["ispring", None],
        "max_age": [60, None],
        "deliveries": [["form"], None],
        "mapping.id": ["email", None],
        "keys": [[fingerprint], None],
    }
    assert all(after is None for _before, after in detail.values())
    assert len(detail) > 30
    assert SECRET not in str(changes(core))


def test_who_loses_the_default_to_another_provider_has_a_line_of_its_own(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET], "default": True}})
    apply(core, {"b": {"keys": [NEWER], "default": True}})
    assert ("test", "provider changed", "a", {"default": [True, False]}) in changes(core)


# --- The operator's own file has the last word ---

MINE: Document = {"a": {"keys": [SECRET], "default": True}}


@pytest.mark.parametrize("settings", [MINE["a"], {}, {"max_age": 60}, {"keys": [NEWER]}])
def test_a_provider_of_the_file_is_changed_by_nobody_else(core: Components, settings: Mapping[str, Any]) -> None:
    apply(core, MINE, managed_by_file=True)
    before = core.provider_store.load(), core.provider_store.revision(), changes(core)
    (mistake,) = refused(core, {"a": settings, "b": {"keys": [NEWER]}})
    assert mistake.startswith("a: is managed by the file that SP_CONFIG names: change it there")
    assert (core.provider_store.load(), core.provider_store.revision(), changes(core)) == before


def test_a_provider_of_the_file_is_removed_by_nobody_else(core: Components) -> None:
    apply(core, MINE, managed_by_file=True)
    before = core.provider_store.load(), core.provider_store.revision(), changes(core)
    with pytest.raises(ProvidersRefused, match="a: is managed by the file that SP_CONFIG names: change it there"):
        core.provider_store.remove("a", actor="test")
    assert (core.provider_store.load(), core.provider_store.revision(), changes(core)) == before


def test_the_default_of_the_file_is_taken_by_nobody_else(core: Components) -> None:
    apply(core, MINE, managed_by_file=True)
    assert refused(core, {"b": {"keys": [NEWER], "default": True}}) == [
        "b: default: a is the default, by the file SP_CONFIG: change it there"
    ]
    assert apply(core, {"b": {"keys": [NEWER]}}).created == ["b"]


def test_the_file_itself_changes_takes_over_and_removes_what_it_names(core: Components) -> None:
    apply(core, {"b": {"keys": [NEWER], "default": True}})
    assert apply(core, {**MINE, "b": {"max_age": 60}}, managed_by_file=True).changed == ["b"]
    assert [(item.provider.name, item.managed_by_file) for item in core.provider_store.load()] == [
        ("a", True),
        ("b", True),
    ]
    assert apply(core, {"b": {}}, managed_by_file=True).removed == ["a"]
    assert apply(core, {}, managed_by_file=True).removed == ["b"]


@pytest.mark.parametrize("left", ["", '[[rules]]\npath = "/x"\nallow = "anyone"\n'])
def test_a_provider_that_left_the_file_is_removed_at_the_next_start(
    gateway: MakeGateway, tmp_path: Path, left: str
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'[providers.a]\nkeys = ["{SECRET}"]\n')
    core = core_of(gateway({"b": {"keys": [NEWER]}}, SP_CONFIG=str(file)))
    assert names(core) == ["a", "b"]
    assert names(core_of(gateway())) == ["a", "b"]  # a start without the file differs from a start with an empty one
    file.write_text(left)
    assert names(core_of(gateway(SP_CONFIG=str(file)))) == ["b"]


def test_an_error_page_that_would_send_people_round_is_refused_wherever_it_is_saved(
    gateway: MakeGateway, tmp_path: Path
) -> None:
    bad = {"error_url": "/gate/sso/start/loop2"}
    core = core_of(gateway(SP_PREFIX="/gate"))
    assert refused(core, {"a": {"keys": [SECRET], **bad}})[0].startswith("a: error_url: is a URL of the gateway")
    with pytest.raises(ProviderRefused) as refusal:
        core.provider_editor.create("a", bad, SECRET, actor="test")
    assert set(refusal.value.mistakes) == {"error_url"}
    file = tmp_path / "gateway.toml"
    file.write_text(f'[providers.a]\nkeys = ["{SECRET}"]\nerror_url = "/gate/sso/start/loop2"\n[typo]\n')
    with pytest.raises(SettingsRefused) as start:
        gateway(SP_PREFIX="/gate", SP_CONFIG=str(file))
    assert [mistake.partition(": ")[2].partition(" is")[0] for mistake in start.value.mistakes] == [
        "typo",
        "providers.a.error_url:",
    ]


def test_removing_takes_the_keys_along_and_tells_whether_there_was_anything(core: Components) -> None:
    apply(core, {"a": {"keys": [SECRET]}, "b": {"keys": [SECRET]}})
    assert core.provider_store.remove("a", actor="test")
    assert not core.provider_store.remove("a", actor="test")
    assert not core.provider_store.remove("A", actor="test")
    with core.database.engine.connect() as connection:
        assert connection.execute(select(ProviderKey.provider)).scalars().all() == ["b"]
