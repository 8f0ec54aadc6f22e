"""The registry hands out what is trusted now: by name, with opened keys, and never a provider that is switched off."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import text

from lab.forging import forge, key_for
from shared.errors import (
    KeyUnavailable,
    ProviderDisabled,
    ProviderUnknown,
    Rejection,
    SignatureInvalid,
    StoreUnavailable,
)
from shared.keys import KeySet
from shared.tokens import open_signed
from sp.components import Components
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of

KEY, NEWER = key_for("HS256"), key_for("HS256", "newer")
SECRETS = {"keys": [KEY.secret]}
Document = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def core(gateway: MakeGateway) -> Components:
    return core_of(gateway())


def have(core: Components, document: Document) -> None:
    core.provider_store.apply(document, actor="test")


def given(core: Components, name: str | None) -> str | type[Rejection]:
    """Return the name of the provider that is handed out, or the class of the refusal."""
    try:
        return core.provider_registry.get(name).provider.name
    except Rejection as rejection:
        return type(rejection)


def test_a_provider_is_found_by_its_name_in_any_case(core: Components) -> None:
    have(core, {"corporate": SECRETS})
    assert [given(core, name) for name in ("corporate", "Corporate", "CORPORATE")] == ["corporate"] * 3
    for unknown in ("other", "", "corporate ", "corporate\0", "../corporate", "x" * 5000):
        assert given(core, unknown) is ProviderUnknown


def test_a_name_that_nobody_has_is_cut_and_cleaned_before_it_is_logged(core: Components) -> None:
    with pytest.raises(ProviderUnknown) as refused:
        core.provider_registry.get("evil\r\nFORGED" + "x" * 500)
    assert refused.value.detail.isprintable()
    assert len(refused.value.detail) < 100


@pytest.mark.parametrize(
    ("document", "default"),
    [
        ({}, ProviderUnknown),
        ({"a": {}}, "a"),
        ({"a": {}, "b": {}}, ProviderUnknown),
        ({"a": {}, "b": {"default": True}}, "b"),
        ({"a": {}, "b": {"enabled": False}}, "a"),
        ({"a": {}, "b": {"enabled": False, "default": True}}, ProviderDisabled),
        ({"a": {"enabled": False}}, ProviderDisabled),
        ({"a": {"enabled": False}, "b": {"enabled": False}}, ProviderUnknown),
    ],
)
def test_without_a_name_the_default_or_the_only_enabled_one_is_meant(
    core: Components, document: Document, default: str | type[Rejection]
) -> None:
    have(core, {name: {**SECRETS, **settings} for name, settings in document.items()})
    assert given(core, None) == default


def test_a_disabled_provider_is_found_by_those_who_ask_for_it_and_trusted_by_nobody(core: Components) -> None:
    have(core, {"a": {**SECRETS, "enabled": False}, "b": {**SECRETS, "default": True}, "c": SECRETS})
    assert given(core, "a") is ProviderDisabled
    assert core.provider_registry.find("a").provider.name == "a"
    assert [trusted.provider.name for trusted in core.provider_registry.all()] == ["a", "b", "c"]
    assert [trusted.provider.name for trusted in core.provider_registry.enabled()] == ["b", "c"]


def test_a_change_is_seen_after_the_time_of_the_cache_and_here_at_once(gateway: MakeGateway) -> None:
    here, elsewhere = core_of(gateway(SP_SESSION_CACHE="3600")), core_of(gateway(SP_SESSION_CACHE="0"))
    have(elsewhere, {"a": SECRETS})
    assert given(here, "a") == given(elsewhere, "a") == "a"
    have(elsewhere, {"a": {"enabled": False}})
    assert given(elsewhere, "a") is ProviderDisabled
    assert given(here, "a") == "a"
    here.provider_registry.forget()
    assert given(here, "a") is ProviderDisabled


def test_the_editor_tells_the_registry_of_each_change_itself(gateway: MakeGateway) -> None:
    core = core_of(gateway(SP_SESSION_CACHE="3600"))
    have(core, {"a": SECRETS})
    assert given(core, "a") == "a"
    core.provider_editor.switch("a", False, actor="carol@example.com")
    assert given(core, "a") is ProviderDisabled
    core.provider_editor.create("b", {"mapping": {"id": "sub"}}, "", actor="carol@example.com")
    assert given(core, "b") == "b"
    core.provider_editor.remove("b", actor="carol@example.com")
    assert given(core, "b") is ProviderUnknown


def opened_with(core: Components, name: str, secret: str) -> Callable[[], object]:
    token = forge({"alg": "HS256"}, {}, key_for("HS256", secret).sign)
    trusted = core.provider_registry.get(name)
    return lambda: trusted.with_keys(token, lambda keys: open_signed(token, keys, "HS256"))


def test_all_keys_verify_and_the_newest_signs(core: Components) -> None:
    have(core, {"a": {"keys": [NEWER.secret, KEY.secret]}})
    trusted = core.provider_registry.get("a")
    assert opened_with(core, "a", "idp")()
    assert opened_with(core, "a", "newer")()
    with pytest.raises(SignatureInvalid):
        opened_with(core, "a", "mallory")()
    assert trusted.signing_key is trusted.keys().keys[0]
    assert set(trusted.key_ids) == {key.fingerprint for key in trusted.keys().keys}


def test_a_key_that_was_retired_verifies_no_more(core: Components) -> None:
    have(core, {"a": {"keys": [NEWER.secret, KEY.secret]}})
    assert opened_with(core, "a", "idp")()
    have(core, {"a": {"keys": [NEWER.secret]}})
    with pytest.raises(SignatureInvalid):
        opened_with(core, "a", "idp")()


def test_a_public_key_does_not_sign(core: Components) -> None:
    have(core, {"a": {"algorithm": "ES256", "keys": [key_for("ES256").public_pem]}})
    assert core.provider_registry.get("a").signing_key is None


def test_keys_that_cannot_be_opened_are_unavailable_and_other_providers_go_on(gateway: MakeGateway) -> None:
    have(core_of(gateway()), {"a": SECRETS, "b": SECRETS})
    core = core_of(gateway(SP_SECRET_KEY="another secret key, of thirty-two characters"))
    assert given(core, "a") == "a"
    with pytest.raises(KeyUnavailable, match="cannot be opened with this SP_SECRET_KEY"):
        core.provider_registry.get("a").keys()
    assert core.provider_registry.get("a").signing_key is None
    have(core, {"c": SECRETS})
    assert isinstance(core.provider_registry.get("c").keys(), KeySet)


def test_a_store_that_cannot_answer_is_no_unknown_provider(core: Components) -> None:
    have(core, {"a": SECRETS})
    assert given(core, "a") == "a"
    with core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE settings_revision RENAME TO elsewhere"))
    assert given(core, "a") is StoreUnavailable
    assert given(core, None) is StoreUnavailable
    with pytest.raises(StoreUnavailable):
        core.provider_registry.all()
