"""Administrators by a group of the identity provider: who gets the right, for how long, and who tries to."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from lab.cast import ALICE, CAROL
from lab.minting import mint
from shared.errors import EmailConflict
from sp.accounts.administrators import NotByHand, id_text
from sp.accounts.manage import LastAdministrator
from sp.accounts.provisioning import AccountState, Admit, Create, Profile, decide
from sp.activity import audit
from sp.database.models import Identity
from sp.providers.provider import Provider
from sp.providers.rows import load_one
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_provider
from tests.sp.accounts.test_provisioning import account, profile
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, SECOND_KEY
from tests.support.forms import Visitor
from tests.support.gateway import core_of

KEEPERS = "gateway keepers"
HERE: dict[str, Any] = {"mapping": {"id": "sub"}, "admin_group": KEEPERS}


def here(**settings: Any) -> Provider:
    return parse_provider("corporate", {**HERE, **settings})


def right_after(said: Profile, provider: Provider, known: AccountState) -> str | None:
    """Return the provider through which the account is an administrator's after the sign-in."""
    decision = decide(said, provider, known=known, same_email=None, free_seat=True)
    assert isinstance(decision, Admit)
    right: str | None = decision.changes.get("admin_through", known.admin_through)
    return right


def keeper(**claims: Any) -> Profile:
    return profile(here(), groups=["staff", KEEPERS], **claims)


# What is decided


def test_the_group_that_the_setting_names_makes_an_administrator() -> None:
    assert right_after(keeper(), here(), account()) == "corporate"
    assert decide(keeper(), here(), known=None, same_email=None, free_seat=True) == Create(keeper(), administers=True)


def test_without_the_setting_no_group_does() -> None:
    plain = here(admin_group="")
    assert right_after(keeper(), plain, account()) is None
    assert right_after(profile(plain, groups=[""]), plain, account()) is None
    assert decide(keeper(), plain, known=None, same_email=None, free_seat=True) == Create(keeper())


@pytest.mark.parametrize("groups", [["staff"], [], None, "staff"])
def test_losing_the_group_takes_the_right_away_and_so_does_a_token_without_groups(groups: Any) -> None:
    assert right_after(profile(here(), groups=groups), here(), account(admin_through="corporate")) is None


def test_the_right_does_not_depend_on_whether_profiles_are_updated() -> None:
    settings = here(update_profile=False)
    assert right_after(keeper(), settings, account()) == "corporate"
    assert right_after(profile(), settings, account(admin_through="corporate")) is None


@pytest.mark.parametrize(
    "groups",
    [["Gateway Keepers"], [KEEPERS + " "], [KEEPERS + "\u200b"], ["gateway", "keepers"], ["g\u0430teway keepers"]],
)
def test_attack_a_group_that_only_looks_like_it(groups: list[str]) -> None:
    assert right_after(profile(here(), groups=groups), here(), account()) is None


def test_attack_an_older_token_that_was_kept_gives_the_right_back() -> None:
    """She was in the group when the token was made. Since then a newer one without the group was used."""
    assert right_after(keeper(iat=1000), here(), account(synchronised_at=2000.0)) is None


def test_attack_another_provider_with_a_fast_clock_preserves_a_right_that_was_lost() -> None:
    assert right_after(profile(iat=1000), here(), account(synchronised_at=9e9, admin_through="corporate")) is None


def test_attack_an_administrators_account_by_group_is_joined_by_its_email() -> None:
    with pytest.raises(EmailConflict):
        decide(keeper(), here(), known=None, same_email=account(admin_through="other"), free_seat=True)


def test_another_provider_neither_takes_nor_gives_the_right() -> None:
    assert right_after(profile(), here(admin_group=""), account(admin_through="other")) == "other"
    assert right_after(profile(), here(), account(admin_through="other")) == "other"


@pytest.mark.parametrize(
    "settings",
    [{"mapping": {"id": "sub", "groups": ""}}, {"required_claims": ["exp", "jti"]}],
)
def test_settings_that_could_not_hold_the_right_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ProviderRefused) as refused:
        here(**settings)
    assert set(refused.value.mistakes) == {"admin_group"}


# What happens at a gateway


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    both = {**CORPORATE, "unsolicited": "accept", "mapping": {"id": "sub"}}
    other = {**both, "default": False, "keys": [SECOND_KEY]}
    return gateway({"corporate": {**both, "admin_group": KEEPERS}, "other": other}, SP_SESSION_CACHE="0")


def sign_in(app: Flask, *groups: str, at: str = "corporate", **claims: Any) -> FlaskClient:
    """Sign Alice in by a token of her provider; return her browser."""
    now = int(time.time())
    said = {"iat": now, "exp": now + 60, "jti": str(time.monotonic_ns()), "email": ALICE.email, "sub": "a-1"}
    client = app.test_client()
    token = mint({**said, "groups": list(groups), **claims}, KEY if at == "corporate" else SECOND_KEY)
    answer = client.get(f"/sso/login/jwt/{at}", query_string={"jwt": token})
    assert "error" not in answer.location
    return client


def administers(client: FlaskClient) -> bool:
    return client.get("/settings/users").status_code == 200


def alices(app: Flask) -> list[tuple[str, str, Any]]:
    lines = audit.recent(core_of(app).database, subject=ALICE.email)
    return [(line.action, line.actor, line.detail) for line in reversed(lines)]


def test_a_member_of_the_group_administers_until_the_first_sign_in_without_it(app: Flask) -> None:
    first = sign_in(app, KEEPERS)
    assert administers(first)
    second = sign_in(app, "staff")
    assert not administers(second)
    assert not administers(first)
    assert alices(app) == [
        ("administrator by group", "corporate", {"administrator through": [None, "corporate"]}),
        ("administrator no longer by group", "corporate", {"administrator through": ["corporate", None]}),
    ]


def test_attack_a_session_that_is_cached_keeps_the_right_after_a_sign_in_without_the_group(
    gateway: MakeGateway,
) -> None:
    settings = {**CORPORATE, "unsolicited": "accept", **HERE}
    app = gateway({"corporate": settings}, SP_SESSION_CACHE="3600")
    first = sign_in(app, KEEPERS)
    assert administers(first)
    sign_in(app, "staff")
    assert not administers(first)


def test_an_administrator_made_by_hand_stays_one_without_the_group(app: Flask) -> None:
    sign_in(app, KEEPERS)
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_admin = true"))
    assert administers(sign_in(app))
    assert core_of(app).people.find(ALICE.email).is_admin  # type: ignore[union-attr]


def test_attack_a_provider_without_the_setting_sends_the_group(app: Flask) -> None:
    assert not administers(sign_in(app, KEEPERS, at="other"))


def test_attack_a_weaker_provider_of_the_same_account_inherits_the_right(app: Flask) -> None:
    """Alice has an id at both. Who can sign in as her at the other one must not administer."""
    sign_in(app, KEEPERS)
    with core_of(app).database.engine.begin() as connection:
        row = {"provider": "other", "subject": "a-1", "claim": "sub", "account_id": 1, "issued_at": 0}
        connection.execute(insert(Identity), row | {"created_at": datetime.now(UTC)})
    assert not administers(sign_in(app, KEEPERS, at="other"))
    assert administers(sign_in(app, KEEPERS))


@pytest.mark.parametrize("change", [{"admin_group": ""}, {"admin_group": "others"}, {"enabled": False}])
def test_changing_the_setting_or_disabling_the_provider_ends_the_right_at_once(
    app: Flask, change: dict[str, Any]
) -> None:
    client = sign_in(app, KEEPERS)
    core = core_of(app)
    settings = {**core.provider_editor.find("corporate").settings, **change}
    core.provider_store.apply({"corporate": settings}, actor="test")
    assert not administers(client)


def test_removing_the_provider_ends_the_right_and_a_new_one_of_that_name_does_not_inherit_it(app: Flask) -> None:
    client = sign_in(app, KEEPERS)
    core = core_of(app)
    core.provider_store.remove("corporate", actor="test")
    core.provider_store.apply({"corporate": {**CORPORATE, **HERE}}, actor="test")
    assert not administers(client)


def test_attack_a_worker_that_still_believes_the_old_setting_gives_the_right(gateway: MakeGateway) -> None:
    """The group was withdrawn a moment ago by another worker. This one would sign her in under the old settings."""
    settings = {**CORPORATE, "unsolicited": "accept", **HERE}
    app = gateway({"corporate": settings}, SP_SESSION_CACHE="3600")
    core = core_of(app)
    assert core.provider_registry.get("corporate").provider.admin_group == KEEPERS
    other = gateway(SP_SESSION_CACHE="0")
    core_of(other).provider_store.apply({"corporate": {**settings, "admin_group": ""}}, actor="test")
    assert core.provider_registry.get("corporate").provider.admin_group == KEEPERS
    assert not administers(sign_in(app, KEEPERS))
    assert not administers(sign_in(app, KEEPERS))
    with core.database.engine.connect() as connection:
        assert load_one(connection, "corporate").provider.admin_group == ""  # type: ignore[union-attr]


def test_the_last_administrator_made_by_hand_stays_although_a_group_has_others(app: Flask) -> None:
    """If the provider fails, somebody must still be able to come in with a password."""
    core = core_of(app)
    carol = core.people.create_administrator(CAROL.email, CAROL.password).person
    sign_in(app, KEEPERS)
    with pytest.raises(LastAdministrator):
        core.administrators.dismiss(carol.id, by=carol.id)


def test_attack_an_administrator_by_group_makes_the_right_permanent_or_dismisses_others(app: Flask) -> None:
    core = core_of(app)
    carol = core.people.create_administrator(CAROL.email, CAROL.password).person
    alice = Visitor(sign_in(app, KEEPERS))
    person = core.people.find(ALICE.email)
    assert person
    for number in (person.id, carol.id):
        page = alice.open(f"/settings/users/{number}").text
        assert "You are an administrator only by a group" in page
        assert "dministrator rights away" not in page
        assert "Make administrator" not in page
        token = alice.form(f"/settings/users/{number}/disable").fields["csrf_token"]
        for what in ("appoint", "dismiss"):
            ids = [id_text(known) for known in core.account_search.detail(number).identities]  # type: ignore[union-attr]
            for fields in ({}, {"confirmed": "1", "id": ids}):
                answer = alice.client.post(f"/settings/users/{number}/{what}", data={"csrf_token": token, **fields})
                assert answer.status_code == 303
            assert "Nothing was changed." in alice.open(f"/settings/users/{number}").text
    assert not core.people.find(ALICE.email).is_admin  # type: ignore[union-attr]
    assert core.people.find(CAROL.email).is_admin  # type: ignore[union-attr]
    with pytest.raises(NotByHand):
        core.administrators.appoint(person.id, shown=(), by=person.id)
    with pytest.raises(NotByHand):
        core.administrators.dismiss(carol.id, by=person.id)
