"""A person who comes to a deep link is asked for the provider once, and other people are not asked."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sp.signin.remembered_provider import MAX_BYTES
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of, make_gateway

Tables = dict[str, dict[str, Any]]
PAGE = "/courses/17?tab=2&x=%26"
DEEP_LINK = {"return_to": PAGE}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ELSEWHERE = {**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"}


def tables(**changes: Mapping[str, Any]) -> Tables:
    """Two providers with buttons, and one that only an e-mail domain leads to; *changes* by name."""
    found: Tables = {}
    settings: Tables = {
        "staff": {"display_name": "Staff", "email_domains": ["staff.example"]},
        "partners": {"display_name": "Partners & friends"},
        "guild": {"show_on_login": False, "email_domains": ["guild.example"]},
    }
    for name, more in settings.items():
        found[name] = {"keys": [f"{name}-{'k' * 40}"], "login_url": f"https://{name}.example/in", **more}
        found[name].update(changes.get(name, {}))
    return found


def provider_of(response: TestResponse) -> str:
    """Return the name of the provider that the browser is sent to, or the path of ours."""
    parts = urlsplit(response.headers["Location"])
    return (parts.hostname or parts.path).removesuffix(".example")


def click(client: FlaskClient, name: str, return_to: str = PAGE) -> TestResponse:
    """Take the link of a button on the page."""
    html = client.get("/sso/choose", query_string={"return_to": return_to}).text
    href = next(unescape(link) for link in re.findall(r'href="([^"]+)"', html) if f"/sso/choose/{name}" in link)
    return client.get(href, headers=SAME_ORIGIN)


def type_email(client: FlaskClient, email: str, return_to: str = PAGE, **more: str) -> TestResponse:
    html = client.get("/sso/choose", query_string={"return_to": return_to}).text
    fields = dict(re.findall(r'name="(csrf_token|return_to)" [^>]*value="([^"]*)"', html))
    sent = {name: unescape(value) for name, value in fields.items()} | {"email": email, **more}
    return client.post("/sso/choose", data=sent, headers=SAME_ORIGIN)


def start(client: FlaskClient, **headers: str) -> TestResponse:
    return client.get("/sso/start", query_string=DEEP_LINK, headers=headers)


@pytest.fixture
def client(gateway: MakeGateway) -> FlaskClient:
    return gateway(tables()).test_client()


def test_a_person_is_asked_once_and_comes_to_the_page_that_was_asked_for(client: FlaskClient) -> None:
    asked = start(client)
    assert asked.status_code == 303
    assert provider_of(asked) == "/sso/choose"
    assert parse_qs(urlsplit(asked.headers["Location"]).query) == {"return_to": [PAGE]}
    html = client.get(asked.headers["Location"]).text
    assert "Staff" in html
    assert "Partners &amp; friends" in html
    assert "guild" not in html
    chosen = click(client, "partners")
    assert chosen.headers["Location"].startswith("/sso/start/partners?")
    begun = client.get(chosen.headers["Location"], headers=SAME_ORIGIN)
    assert provider_of(begun) == "partners"
    assert parse_qs(urlsplit(begun.headers["Location"]).query)["return_to"] == [f"http://127.0.0.1:5000{PAGE}"]
    assert provider_of(start(client)) == "partners"


@pytest.mark.parametrize(
    ("changes", "provider"),
    [
        ({"staff": {"default": True}}, "staff"),
        ({"guild": {"default": True}}, "guild"),
        ({"staff": {"enabled": False}, "guild": {"enabled": False}}, "partners"),
        ({"staff": {"show_on_login": False}}, "partners"),
        ({"staff": {"login_url": ""}}, "partners"),
    ],
)
def test_nobody_is_asked_where_one_provider_is_for_everyone(
    gateway: MakeGateway, changes: Mapping[str, Mapping[str, Any]], provider: str
) -> None:
    assert provider_of(start(gateway(tables(**changes)).test_client())) == provider


def test_a_provider_in_the_url_is_not_asked_about(client: FlaskClient) -> None:
    click(client, "partners")
    assert provider_of(client.get("/sso/start/staff")) == "staff"
    assert provider_of(start(client)) == "partners"


@pytest.mark.parametrize(("email", "name"), [("alice@staff.example", "staff"), ("bob@GUILD.example", "guild")])
def test_an_email_leads_to_the_provider_of_its_domain(client: FlaskClient, email: str, name: str) -> None:
    led = type_email(client, email)
    assert led.status_code == 200
    onward = led.headers["Refresh"].removeprefix("0; url=")
    assert f'href="{onward.replace("&", "&amp;")}"' in led.text
    begun = client.get(client.get(onward, headers=SAME_ORIGIN).headers["Location"])
    assert provider_of(begun) == name
    assert parse_qs(urlsplit(begun.headers["Location"]).query)["return_to"] == [f"http://127.0.0.1:5000{PAGE}"]
    assert provider_of(start(client)) == name


def test_attack_the_answer_to_an_email_says_nothing_about_accounts(gateway: MakeGateway) -> None:
    app = gateway(tables())
    core_of(app).people.create_administrator("carol@staff.example", "a long password of carol")
    answers = []
    for email in ("carol@staff.example", "nobody-of-this-name@staff.example"):
        answer = type_email(app.test_client(), email)
        answers.append((answer.status_code, answer.headers["Refresh"], email in answer.text, len(answer.text)))
    assert answers[0] == answers[1]
    assert answers[0][2] is False


@pytest.mark.parametrize(
    ("email", "status"),
    [("x@unknown.example", 200), ("x", 200), ("", 400), ("x" * 250 + "@a.example", 400), ("x" * 10_000, 400)],
)
def test_an_unknown_domain_leads_back_to_the_choice(client: FlaskClient, email: str, status: int) -> None:
    answer = type_email(client, email)
    assert answer.status_code == status
    assert "Refresh" not in answer.headers
    assert len(answer.text) < 20_000 + len(email)
    assert "/sso/choose/staff?return_to=%2Fcourses" in answer.text.replace("/courses", "%2Fcourses")


def test_attack_a_huge_form_is_refused_before_it_is_read(client: FlaskClient) -> None:
    assert type_email(client, "x" * 100_000).status_code == 413


@pytest.mark.parametrize("headers", [SAME_ORIGIN, ELSEWHERE, {}])
def test_attack_another_site_sends_the_form_with_an_email(client: FlaskClient, headers: Mapping[str, str]) -> None:
    answer = client.post("/sso/choose", data={"email": "mallory@guild.example"}, headers=headers)
    assert answer.status_code == 400
    assert "Refresh" not in answer.headers
    assert provider_of(start(client)) == "/sso/choose"


@pytest.mark.parametrize(
    "headers", [ELSEWHERE, {**SAME_ORIGIN, "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"}]
)
def test_attack_a_link_or_an_image_chooses_for_a_person(client: FlaskClient, headers: Mapping[str, str]) -> None:
    answer = client.get("/sso/choose/guild", headers=headers)
    assert provider_of(answer) == "/sso/start/guild"
    assert "Set-Cookie" not in answer.headers
    assert provider_of(start(client)) == "/sso/choose"


@pytest.mark.parametrize("name", ["nobody-knows-this-one", "off", "..%2f..%2fevil", "%0d%0aSet-Cookie:x=y", "x" * 5000])
def test_attack_a_stranger_chooses_the_name_in_the_cookie(gateway: MakeGateway, name: str) -> None:
    off = {"keys": ["o" * 48], "login_url": "https://off.example/in", "enabled": False}
    client = gateway({**tables(), "off": off}).test_client()
    answer = client.get(f"/sso/choose/{name}", headers=SAME_ORIGIN)
    assert answer.status_code in (303, 404)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "return_to",
    [
        *("https://evil.example/", "//evil.example/", "/\\evil.example", "/%2f/evil.example", "javascript:alert(1)"),
        *("http://127.0.0.1:5000@evil.example/", "http://127.0.0.1:5000.evil.example/", "/\t/evil.example"),
        '"><script>alert(1)</script>',
    ],
)
def test_attack_the_choice_leads_to_another_site(client: FlaskClient, return_to: str) -> None:
    asked = client.get("/sso/start", query_string={"return_to": return_to})
    assert asked.headers["Location"].startswith("/sso/choose")
    html = client.get(asked.headers["Location"]).text
    assert "<script>" not in html
    links = [unescape(link) for link in re.findall(r'(?:href|action)="([^"]*)"', html)]
    assert all(re.match(r"/(?!/)", link) or link.startswith("#") for link in links), links
    for answer in (click(client, "staff", return_to), type_email(client, "a@staff.example", return_to)):
        onward = answer.headers.get("Location") or answer.headers["Refresh"].removeprefix("0; url=")
        assert re.match(r"/sso/(start|choose)/staff\?", onward)
        begun = client.get("/sso/start/staff", query_string={"return_to": return_to})
        wanted = parse_qs(urlsplit(begun.headers["Location"]).query)["return_to"]
        assert wanted == ["http://127.0.0.1:5000/"]


def test_attack_a_page_to_return_to_is_longer_than_headers_may_be(client: FlaskClient) -> None:
    long = {"return_to": "/" + "x" * 12_000}
    for path in ("/sso/start", "/sso/choose/staff"):
        assert "return_to" not in client.get(path, query_string=long).headers["Location"]
    assert len(client.get("/sso/choose", query_string=long).text) < 12_000
    answers = [
        type_email(client, email, return_to=long["return_to"]) for email in ("a@staff.example", "a@unknown.example")
    ]
    assert "return_to" not in answers[0].headers["Refresh"]
    assert all(len(answer.text) < 12_000 for answer in answers)
    kept = {"return_to": "http://127.0.0.1:5000/" + "x" * 2_000}
    assert "return_to" in client.get("/sso/start", query_string=kept).headers["Location"]


def test_attack_a_remembered_provider_is_planted(gateway: MakeGateway, tmp_path: Any) -> None:
    other = make_gateway(tmp_path / "other", tables())
    foreign = other.test_client()
    click(foreign, "partners")
    core_of(other).database.engine.dispose()
    planted = foreign.get_cookie("sp_provider")
    assert planted is not None
    app = gateway(tables())
    client, own = app.test_client(use_cookies=False), app.test_client()
    click(own, "partners")
    good = own.get_cookie("sp_provider")
    assert good is not None
    assert provider_of(start(client, Cookie=f"sp_provider={good.value}")) == "partners"
    changed = good.value.replace(good.value[0], "J" if good.value[0] != "J" else "I", 1)
    for content in (planted.value, changed, good.value[:-1], "partners", '"partners"', "x" * (MAX_BYTES + 1), ""):
        assert provider_of(start(client, Cookie=f"sp_provider={content}")) == "/sso/choose", content


def test_attack_a_second_remembered_provider_is_planted_by_a_neighbour(client: FlaskClient) -> None:
    click(client, "partners")
    mine = client.get_cookie("sp_provider")
    click(client, "staff")
    theirs = client.get_cookie("sp_provider")
    assert mine is not None
    assert theirs is not None
    both = f"sp_provider={mine.value}; sp_provider={theirs.value}"
    fresh = client.application.test_client(use_cookies=False)
    assert provider_of(start(fresh, Cookie=f"sp_provider={mine.value}")) == "partners"
    assert provider_of(start(fresh, Cookie=both)) == "/sso/choose"


def test_the_cookie_is_small_and_of_this_host_only(gateway: MakeGateway) -> None:
    app = gateway(tables(), SP_EXTERNAL_URL="https://app.example.org")
    name = "n" + "x" * 59
    core_of(app).provider_store.apply({name: {"keys": ["k" * 48], "login_url": "https://n.example/"}}, actor="test")
    answer = app.test_client().get(f"/sso/choose/{name}", base_url="https://app.example.org", headers=SAME_ORIGIN)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    pair, *flags = cookie.split("; ")
    assert pair.startswith("__Host-sp_provider=")
    assert len(pair.partition("=")[2]) <= MAX_BYTES
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=34560000"} <= set(flags)
    assert "Domain" not in cookie


@pytest.mark.parametrize("change", [{"enabled": False}, None])
def test_a_provider_that_is_disabled_or_removed_is_forgotten(
    gateway: MakeGateway, change: Mapping[str, Any] | None
) -> None:
    app = gateway({**tables(), "more": {"keys": ["m" * 48], "login_url": "https://more.example/in"}})
    client, store = app.test_client(), core_of(app).provider_store
    click(client, "more")
    assert provider_of(start(client)) == "more"
    if change:
        store.apply({"more": {"login_url": "https://more.example/in", **change}}, actor="test")
    else:
        store.remove("more", actor="test")
    assert provider_of(start(client)) == "/sso/choose"
    client.get("/sso/choose")
    assert client.get_cookie("sp_provider") is None


def test_the_pages_after_sign_out_and_refusal_offer_another_sign_in_to_those_who_chose(client: FlaskClient) -> None:
    pages = ("/logout", "/access/jwt/error?code=user_unknown&reference=K7WQ2MX9PA")
    assert all("Use another sign-in" not in client.get(page).text for page in pages)
    click(client, "partners")
    assert all('href="/sso/choose">Use another sign-in' in client.get(page).text for page in pages)
    click(client, "staff")
    assert provider_of(start(client)) == "staff"


@pytest.mark.parametrize(("headers", "elsewhere"), [(ELSEWHERE, True), (SAME_ORIGIN, False)])
def test_attack_a_foreign_link_to_the_choice_passes_for_the_persons_own_click(
    gateway: MakeGateway, headers: Mapping[str, str], elsewhere: bool
) -> None:
    """Redirects keep what the browser says of the link, so the sign-in is still known to be begun elsewhere."""
    app = gateway(tables())
    client = app.test_client(use_cookies=False)
    chosen = client.get("/sso/choose/staff", headers=headers)
    begun = client.get(chosen.headers["Location"], headers=headers)
    name, _equals, value = begun.headers["Set-Cookie"].partition(";")[0].partition("=")
    (pending,) = core_of(app).pending.read({name: value}, "staff")
    assert pending.elsewhere is elsewhere


def test_without_anything_to_choose_the_local_form_opens(gateway: MakeGateway) -> None:
    answer = gateway().test_client().get("/sso/choose", query_string=DEEP_LINK)
    assert answer.headers["Location"].startswith("/login?no_sso=&return_to=")


def test_providers_that_only_a_domain_leads_to_are_asked_for_by_email(gateway: MakeGateway) -> None:
    changes = {"staff": {"show_on_login": False}, "partners": {"enabled": False}}
    client = gateway(tables(**changes)).test_client()
    assert provider_of(start(client)) == "/sso/choose"
    html = client.get("/sso/choose").text
    assert 'name="email"' in html
    assert "/sso/choose/" not in html
    assert type_email(client, "a@guild.example").headers["Refresh"].startswith("0; url=/sso/choose/guild")


def test_the_sign_in_page_leads_to_the_form_for_an_email_where_a_provider_lists_domains(gateway: MakeGateway) -> None:
    html = gateway(tables()).test_client().get("/login", query_string=DEEP_LINK).text
    assert 'href="/sso/choose?return_to=/courses/17?tab%3D2%26x%3D%2526"' in html
    assert "/sso/start/guild" not in html
    without: Tables = {name: {"email_domains": []} for name in tables()}
    assert "/sso/choose" not in gateway(tables(**without)).test_client().get("/login").text


def test_without_domains_no_email_is_asked_for(gateway: MakeGateway) -> None:
    client = gateway(tables(staff={"email_domains": []}, guild={"enabled": False})).test_client()
    assert 'name="email"' not in client.get("/sso/choose").text
