"""Which pages of ours a further site answers: those on one list. All others are at home."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from lab.cast import ALICE, CAROL
from sp.views.site_pages import AT_SITES
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import HOME, WIKI, Browser
from tests.support.forms import forms_of

OF_A_SIGN_IN = {"sso.start", "sites.land", "sign_out.ask", "sign_out.end", "refusals.error", "denied.denied"}
OF_MACHINES = {"jwks.jwks", "health.alive", "health.ready", "metrics.metrics"}
OF_PAGES = {"ui.static", "ui.bootstrap_css", "ui.theme", "ui.logo", "ui.colours"}


@pytest.fixture
def gate(node: Callable[..., Gate]) -> Gate:
    return node()


def test_the_list_has_no_page_that_is_at_home() -> None:
    assert AT_SITES == OF_A_SIGN_IN | OF_MACHINES | OF_PAGES


def test_attack_every_other_page_of_ours_is_asked_for_at_a_site(gate: Gate) -> None:
    """Walks every URL rule: a page that is added later is at home unless the list names it."""
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    home_only = 0
    for rule in gate.gateway.own.url_map.iter_rules():
        path = str(rule).replace("<int:account_id>", "1")
        while "<" in path:
            path = path[: path.index("<")] + "x" + path[path.index(">") + 1 :]
        for method in sorted((rule.methods or set()) & {"GET", "HEAD", "POST"}):
            if rule.endpoint in AT_SITES:
                continue
            answer = alice.ask(f"{WIKI}{path}?a=b", method)
            home_only += 1
            if method == "POST":
                assert answer.status == 404, (method, path)
            else:
                assert (answer.status, answer.header("Location")) == (303, f"{HOME}{path}?a=b"), path
            assert not [value for name, value in answer.headers if name == "Set-Cookie"]
    assert home_only > 60
    assert alice.is_in(WIKI)


@pytest.mark.parametrize("path", ["/sso/nothing", "/settings/users/x/y", "/access/jwt/x/y", "/account/x"])
def test_a_page_that_does_not_exist_is_asked_for_at_home(gate: Gate, path: str) -> None:
    alice = Browser([gate], ALICE.email)
    assert alice.ask(f"{WIKI}{path}").header("Location") == f"{HOME}{path}"
    assert alice.ask(f"{WIKI}{path}", "POST").status == 404


def test_attack_a_path_leads_the_redirect_home_to_another_host(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    for path in ("/account/@evil.example", "/account/%0d%0aSet-Cookie: a=b", "/sso/.evil.example/", "/account/\\x"):
        location = alice.ask(f"{WIKI}{path}").header("Location")
        assert location is None or (location.startswith(f"{HOME}/") and location.isprintable() and " " not in location)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/sso/static/times.js"])
def test_machines_and_pages_get_what_they_need(gate: Gate, path: str) -> None:
    assert Browser([gate], ALICE.email).ask(f"{WIKI}{path}").status == 200


def test_a_denied_page_has_links_that_work_at_the_site(node: Callable[..., Gate]) -> None:
    rule = '[[sites.wiki.rules]]\npath = "/admin/"\nallow = { groups = ["x"] }\n'
    file = f'[sites.wiki]\nurl = "{WIKI}"\napp = "w:app"\n{rule}'
    alice = Browser([node(file=file)], ALICE.email)
    alice.visit(f"{WIKI}/page")
    seen = alice.visit(f"{WIKI}/admin/")
    assert seen.answer.status == 403
    assert 'href="/logout"' in seen.answer.text
    assert f'href="{HOME}/account"' in seen.answer.text
    assert alice.visit(f"{WIKI}/logout").answer.status == 200
    assert alice.visit(f"{HOME}/account").answer.status == 200


def test_a_person_who_signed_out_at_a_site_can_sign_in_there_again(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    alice.sign_out(WIKI)
    seen = alice.visit(f"{WIKI}/logout")
    assert urlsplit(seen.url).netloc == urlsplit(HOME).netloc
    sign_in = f"/login?return_to={WIKI}/"
    assert f'href="{sign_in}"' in seen.answer.text
    onward = alice.ask(f"{HOME}{sign_in}").header("Location")
    assert alice.visit(f"{HOME}{onward}").url == f"{WIKI}/"


def test_a_site_without_a_session_does_not_say_that_a_person_is_signed_out_who_is_signed_in_at_home(gate: Gate) -> None:
    """Each page of the site would sign the person in again, without a question."""
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{HOME}/page")
    seen = alice.visit(f"{WIKI}/logout")
    assert urlsplit(seen.url).netloc == urlsplit(HOME).netloc
    (form,) = forms_of(seen.answer)
    alice.ask(f"{HOME}/logout", "POST", form.fields)
    assert not alice.is_in(HOME)


def test_attack_the_link_of_the_sign_out_page_leads_to_our_sites_only(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    page = alice.visit(f"{HOME}/logout?return_to=https://evil.example/").answer.text
    assert "You are signed out" in page
    assert 'href="/login"' in page
    assert 'href="https://evil' not in page


def test_the_theme_is_chosen_at_the_site_itself(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    answer = alice.ask(f"{WIKI}/sso/look/theme", "POST", {"theme": "dark", "back": "/page"})
    assert (answer.status, answer.header("Location")) == (303, "/page")
    assert alice.jars[str(urlsplit(WIKI).hostname)] == {"__Host-sp_theme": "dark"}


def test_the_account_page_lists_the_sites_and_ends_all_of_them(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    page = alice.visit(f"{HOME}/account").answer
    assert f'<a href="{WIKI}/">wiki</a> ({WIKI})' in page.text
    (form,) = [form for form in forms_of(page) if form.action.endswith("/end")]
    answer = alice.ask(f"{HOME}{form.action}", "POST", form.fields)
    assert answer.header("Location") == "/logout"
    assert not alice.is_in(WIKI)
    assert not alice.is_in(HOME)


def test_an_administrator_sees_where_a_person_is_signed_in(gate: Gate) -> None:
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    gate.person(CAROL, is_admin=True)
    carol = Browser([gate], CAROL.email)
    carol.jars["login.example.org"] = {"__Host-sp_session": gate.sign_in(CAROL)}
    page = carol.ask(f"{HOME}/settings/users/{gate.person(ALICE)}").text
    assert f'also at <a href="{WIKI}/">wiki</a> ({WIKI})' in page
