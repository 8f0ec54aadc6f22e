"""An access token from a sign-in ends together with the browser's session, however that session ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from sqlalchemy import text

from lab.cast import ALICE
from lab.minting import mint
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import URL, core_of

EVENTS: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
SIGN_OUT = {"alg": "HS256", "typ": "logout+jwt"}
PROVIDER = {
    **CORPORATE,
    "logout_url": "",
    "unsolicited": "accept",
    "issuer": {"expected": "https://idp.example"},
    "mapping": {"id": "sub"},
}


@dataclass
class SignedIn:
    """Alice at a browser, and the access token that her sign-in handed out."""

    app: Flask
    browser: Visitor
    access_token: str

    @property
    def account(self) -> int:
        person = core_of(self.app).people.find(ALICE.email)
        assert person is not None
        return person.id

    @property
    def public_id(self) -> str:
        """The public name of the browser's session."""
        sessions = core_of(self.app).session_finder.list_of(self.account)
        return next(session.public_id for session in sessions if session.kind == "browser")

    def browser_is_in(self) -> bool:
        return self.browser.client.get("/account").status_code == 200

    def token_is_good(self) -> bool:
        headers = {"Authorization": f"Bearer {self.access_token}"}
        return self.app.test_client().get("/api/userinfo", headers=headers).status_code == 200


def token(header: dict[str, str] | None = None, **claims: Any) -> str:
    now = int(time.time())
    good = {"iss": "https://idp.example", "sub": "a-1", "iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns())}
    return mint({**good, **claims}, KEY, header)


@pytest.fixture(params=["fragment", "query"])
def alice(request: pytest.FixtureRequest, gateway: MakeGateway) -> SignedIn:
    app = gateway({"corporate": {**PROVIDER, "access_token_delivery": request.param}})
    return sign_in(app)


def sign_in(app: Flask) -> SignedIn:
    browser = Visitor(app.test_client())
    answer = browser.client.get("/sso/login/jwt", query_string={"jwt": token(email=ALICE.email)})
    address = urlsplit(answer.location)
    (access_token,) = parse_qs(address.query or address.fragment)["access_token"]
    signed_in = SignedIn(app, browser, access_token)
    assert signed_in.browser_is_in()
    assert signed_in.token_is_good()
    return signed_in


def by_the_person(alice: SignedIn) -> None:
    alice.browser.open("/logout")
    alice.browser.send(alice.browser.form("/logout"), follow=False)


def by_the_person_who_was_away_for_too_long(alice: SignedIn) -> None:
    alice.browser.open("/logout")
    form = alice.browser.form("/logout")
    with core_of(alice.app).database.engine.begin() as connection:
        connection.execute(text("UPDATE session SET last_seen_at = 1 WHERE kind = 'browser'"))
    assert not alice.browser_is_in()
    assert alice.token_is_good()
    alice.browser.send(form, follow=False)


def by_the_provider_through_the_browser(alice: SignedIn) -> None:
    query = {"jwt": token(SIGN_OUT, events=EVENTS)}
    assert alice.browser.client.get("/sso/logout/jwt", query_string=query).status_code == 200


def by_the_provider_through_the_browser_after_too_long(alice: SignedIn) -> None:
    with core_of(alice.app).database.engine.begin() as connection:
        connection.execute(text("UPDATE session SET last_seen_at = 1 WHERE kind = 'browser'"))
    by_the_provider_through_the_browser(alice)


def by_the_provider_directly(alice: SignedIn) -> None:
    form = {"logout_token": token(SIGN_OUT, events=EVENTS, aud=URL)}
    answer = alice.app.test_client().post("/sso/logout/backchannel", data=form)
    assert answer.status_code == 200, answer.text


def on_the_persons_own_page(alice: SignedIn) -> None:
    action = f"/account/sessions/{alice.public_id}/end"
    alice.browser.open("/account")
    alice.browser.send(alice.browser.form(action), follow=False)


def by_an_administrator(alice: SignedIn) -> None:
    carol = administrator_of(alice.app)
    public_id = alice.public_id
    carol.open(f"/settings/users/{alice.account}")
    form = carol.form(f"/settings/users/{alice.account}/sessions/end")
    form.fields["session"] = public_id
    carol.send(form)


def by_an_administrator_with_all_the_others(alice: SignedIn) -> None:
    core_of(alice.app).people.sign_out(alice.account)


def by_disabling_the_account(alice: SignedIn) -> None:
    core_of(alice.app).people.disable(alice.account)
    with core_of(alice.app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_active = true"))  # not only as long as it is disabled


WAYS = (
    by_the_person,
    by_the_person_who_was_away_for_too_long,
    by_the_provider_through_the_browser,
    by_the_provider_through_the_browser_after_too_long,
    by_the_provider_directly,
    on_the_persons_own_page,
    by_an_administrator,
    by_an_administrator_with_all_the_others,
    by_disabling_the_account,
)


@pytest.mark.parametrize("end", WAYS, ids=lambda way: way.__name__)
def test_attack_an_access_token_is_used_after_the_sign_out_of_the_sign_in_that_handed_it_out(
    alice: SignedIn, end: Callable[[SignedIn], None]
) -> None:
    end(alice)
    assert not alice.browser_is_in()
    assert not alice.token_is_good()


def test_the_access_token_of_another_sign_in_goes_on(alice: SignedIn) -> None:
    elsewhere = sign_in(alice.app)
    by_the_person(alice)
    assert elsewhere.browser_is_in()
    assert elsewhere.token_is_good()


def test_an_access_token_that_is_revoked_signs_nobody_out_of_the_browser(alice: SignedIn) -> None:
    alice.app.test_client().post("/sso/revoke", data={"token": alice.access_token})
    assert not alice.token_is_good()
    assert alice.browser_is_in()
