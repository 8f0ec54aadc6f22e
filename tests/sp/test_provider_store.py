"""Providers from a file: applied whole or not at all, twice without a change, with every key sealed."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from shared.keys import load_key_set
from sp.core import Core
from sp.models import ProviderKey, ProviderRecord, SettingsChange
from sp.provider_store import Applied, ProvidersRefused
from sp.providers import parse_provider
from tests.sp.conftest import MakeGateway
from tests.support.forging import key_for
from tests.support.gateway import core_of

SECRET, NEWER = key_for("HS256").secret, key_for("HS256", "newer").secret
Document = dict[str, Mapping[str, Any]]


@pytest.fixture
def core(gateway: MakeGateway) -> Core:
    return core_of(gateway())


def apply(core: Core, document: Document, *, managed_by_file: bool = False) -> Applied:
    return core.providers.apply(document, actor="test", managed_by_file=managed_by_file)


def refused(core: Core, document: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ProvidersRefused) as refusal:
        core.providers.apply(document, actor="test")
    return refusal.value.mistakes


def names(core: Core) -> list[str]:
    return [stored.provider.name for stored in core.providers.load()]


def materials(core: Core, name: str) -> list[str]:
    """Return the keys of a provider, opened, newest first."""
    stored = next(stored for stored in core.providers.load() if stored.provider.name == name)
    return [core.vault.open(key.sealed) for key in stored.keys]


# --- Applying ---


def test_what_was_applied_is_found_again(core: Core) -> None:
    settings = {"keys": [SECRET], "display_name": "Corporate", "max_age": 60, "mapping": {"id": "sub"}}
    assert apply(core, {"corporate": settings, "partner": {"keys": [NEWER]}}).created == ["corporate", "partner"]
    assert names(core) == ["corporate", "partner"]
    stored = core.providers.load()[0]
    assert stored.provider == parse_provider("corporate", {k: v for k, v in settings.items() if k != "keys"})
    assert materials(core, "corporate") == [SECRET]


def test_a_file_that_is_applied_twice_changes_nothing(core: Core) -> None:
    document: Document = {"corporate": {"keys": [SECRET], "deliveries": ["form", "query"]}}
    apply(core, document)
    before = core.providers.revision(), core.providers.load(), changes(core)
    again = apply(core, document)
    assert (again.created, again.changed, again.removed, again.unchanged) == ([], [], [], ["corporate"])
    assert (core.providers.revision(), core.providers.load(), changes(core)) == before


def test_every_change_grows_the_revision_and_no_other_call_does(core: Core) -> None:
    seen = [core.providers.revision()]
    for step in (
        lambda: apply(core, {"a": {"keys": [SECRET]}}),
        lambda: apply(core, {"a": {"keys": [SECRET], "enabled": False}}),
        lambda: apply(core, {"a": {"keys": [NEWER, SECRET], "enabled": False}}),
        lambda: core.providers.remove("a", actor="test"),
    ):
        step()
        seen.append(core.providers.revision())
    assert seen == sorted(set(seen))
    core.providers.remove("a", actor="test")
    apply(core, {})
    assert core.providers.revision() == seen[-1]


def test_a_provider_that_is_left_out_stays_unless_the_file_is_the_operators_own(core: Core) -> None:
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


def test_only_the_provider_chosen_last_is_the_default(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET], "default": True}})
    apply(core, {"b": {"keys": [NEWER], "default": True}})
    assert [stored.provider.name for stored in core.providers.load() if stored.provider.default] == ["b"]


# --- Keys ---


def test_keys_that_are_left_out_or_empty_stay(core: Core) -> None:
    apply(core, {"a": {"keys": [NEWER, SECRET]}})
    kept: list[dict[str, Any]] = [{}, {"keys": []}, {"max_age": 60}]
    for settings in kept:
        apply(core, {"a": settings})
        assert materials(core, "a") == [NEWER, SECRET]


def test_a_new_provider_without_a_key_gets_one_that_is_shown_once(core: Core) -> None:
    applied = apply(core, {"a": {}, "b": {"algorithm": "HS512", "keys": []}})
    assert set(applied.generated) == {"a", "b"}
    assert materials(core, "a") == [applied.generated["a"]]
    assert load_key_set([applied.generated["b"]], "HS512")
    assert apply(core, {"a": {}, "b": {"algorithm": "HS512"}}).generated == {}


def test_a_key_that_stays_keeps_its_row_and_the_order_is_the_files(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    row = core.providers.load()[0].keys[0].id
    apply(core, {"a": {"keys": [NEWER, SECRET]}})
    assert materials(core, "a") == [NEWER, SECRET]
    assert core.providers.load()[0].keys[1].id == row
    apply(core, {"a": {"keys": [NEWER]}})
    assert materials(core, "a") == [NEWER]


def test_the_database_holds_no_key_that_can_be_read(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    with core.engine.connect() as connection:
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
        ({"keys": SECRET}, "must be a list of texts"),
        ({"keys": [7]}, "must be a list of texts"),
        ({"keys": [key_for("RS256").public_pem]}, "cannot be a shared secret"),
        ({"keys": [SECRET], "algorithm": "RS256"}, "this is no PEM and no JWK"),
        ({"keys": [key_for("RS256").public_pem], "algorithm": "ES256"}, "needs an EC key"),
        ({"keys": [], "algorithm": "RS256"}, "needs a public key, or a JWKS endpoint"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_and_not_shown(core: Core, settings: dict[str, Any], why: str) -> None:
    mistakes = refused(core, {"a": settings})
    assert len(mistakes) == 1
    assert mistakes[0].startswith("a: keys: ")
    assert why in mistakes[0]
    assert SECRET not in mistakes[0]
    assert names(core) == []


def test_another_algorithm_needs_other_keys(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    assert refused(core, {"a": {"algorithm": "ES256"}})
    apply(core, {"a": {"algorithm": "ES256", "keys": [key_for("ES256").public_pem]}})
    assert materials(core, "a") == [key_for("ES256").public_pem]
    apply(core, {"b": {"algorithm": "RS256", "jwks_url": "https://idp.example.com/jwks"}})
    assert materials(core, "b") == []


def test_a_short_secret_is_taken_where_that_is_said(core: Core) -> None:
    apply(core, {"a": {"keys": ["short"], "allow_short_secret": True}})
    assert materials(core, "a") == ["short"]
    assert refused(core, {"a": {"allow_short_secret": False}})


# --- Mistakes ---


def test_one_mistake_anywhere_changes_nothing_and_all_of_them_are_named(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    before = core.providers.load(), core.providers.revision()
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
    assert (core.providers.load(), core.providers.revision()) == before


# --- The audit trail ---


def changes(core: Core) -> list[tuple[str, str, str, Any]]:
    with core.engine.connect() as connection:
        rows = connection.execute(select(SettingsChange.__table__).order_by(SettingsChange.id)).all()
    return [(row.actor, row.action, row.subject, row.detail) for row in rows]


def test_who_changed_what_is_written_down_and_never_a_secret(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}})
    apply(core, {"a": {"keys": [NEWER, SECRET], "max_age": 60}})
    core.providers.remove("a", actor="carol@example.com")
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


def test_removing_takes_the_keys_along_and_tells_whether_there_was_anything(core: Core) -> None:
    apply(core, {"a": {"keys": [SECRET]}, "b": {"keys": [SECRET]}})
    assert core.providers.remove("a", actor="test")
    assert not core.providers.remove("a", actor="test")
    assert not core.providers.remove("A", actor="test")
    with core.engine.connect() as connection:
        assert connection.execute(select(ProviderKey.provider)).scalars().all() == ["b"]
