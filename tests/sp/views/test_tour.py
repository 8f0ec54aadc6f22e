"""The tour of the demo: the sign-in step by step, and every way to break it, each on the real error page."""

import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import Client, TestResponse

from lab.cast import ALICE
from lab.minting import mint
from shared import demo
from sp.diagnosis.tour import FAULTS, Fault
from sp.gateway import Gateway
from sp.sample_app import create_welcome_app
from tests.support.gateway import URL, core_of, make_gateway

PAGE = {"Accept": "text/html"}
HERE = {"REMOTE_ADDR": "127.0.0.1"}


class Visitor:
    """Alice, in front of a gateway in this process."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.own = make_gateway(folder, None, **settings)
        self.core = core_of(self.own)
        self.client = Client(Gateway(create_welcome_app(self.core), self.own))

    def get(self, path: str, ip: str = "127.0.0.1", **headers: str) -> TestResponse:
        sent = PAGE | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, URL, headers=sent, environ_base={"REMOTE_ADDR": ip})

    def post(self, path: str, **fields: str) -> TestResponse:
        return self.client.post(path, base_url=URL, headers=PAGE, data=fields, environ_base=HERE)

    def sign_in(self) -> TestResponse:
        """Sign in as the demo's identity provider does it."""
        asked = parse_qs(urlsplit(self.get("/sso/start/demo?return_to=/tour").headers["Location"]).query)
        now = int(time.time())
        claims = {"iat": now, "exp": now + 60, "jti": f"tour-{time.perf_counter_ns()}", "email": ALICE.email}
        claims |= {"sub": "1", "nonce": asked["nonce"][0], "aud": URL}
        key = demo.read(self.core.config.instance).token_key
        return self.post("/sso/login/jwt/demo", jwt=mint(claims, key))

    def break_with(self, fault: str) -> TestResponse:
        csrf = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get("/tour").text)
        assert csrf
        return self.post("/tour/break", csrf_token=csrf[1], fault=fault)


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    made = Visitor(tmp_path, SP_SECRET_KEY="")
    assert made.sign_in().status_code == 303
    return made


def test_the_sign_in_that_just_happened_is_told_step_by_step(visitor: Visitor) -> None:
    shown = visitor.get("/tour")
    assert shown.status_code == 200
    for word in (
        "identity provider: e-mail and password",
        "sp_session",
        "sp_pending_",
        ALICE.email,
        "<svg",
        "signature",
    ):
        assert word in shown.text
    assert "<td>failed</td>" not in shown.text
    assert "How this sign-in worked" in visitor.get("/").text


def test_a_page_of_the_tour_is_only_for_people_who_are_signed_in(tmp_path: Path) -> None:
    stranger = Visitor(tmp_path, SP_SECRET_KEY="")
    assert stranger.get("/tour").headers["Location"].startswith("/sso/start?return_to=/tour")
    assert stranger.get("/tour/trace/ABC").status_code == 303


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_button_ends_on_the_real_error_page_and_leads_to_what_was_recorded(fault: Fault, visitor: Visitor) -> None:
    sent = visitor.break_with(fault.name)
    assert sent.headers["Location"].startswith("/sso/login/jwt/demo?jwt=")
    refused = visitor.get(sent.headers["Location"])
    assert f"code={fault.code}" in refused.headers["Location"]
    page = visitor.get(refused.headers["Location"])
    assert fault.code in page.text
    assert "You could not be signed in" in page.text
    link = re.search(r'href="(/tour/trace/[0-9A-Z]+)"', page.text)
    assert link
    recorded = visitor.get(link[1])
    assert recorded.status_code == 200
    assert f"<code>{fault.code}</code>" in recorded.text
    assert "<dt>Cause</dt>" in recorded.text
    assert visitor.get("/tour").status_code == 200  # still signed in


def test_an_unknown_fault_or_a_form_without_its_token_breaks_nothing(visitor: Visitor) -> None:
    assert visitor.break_with("nothing").headers["Location"] == "/tour"
    assert visitor.post("/tour/break", fault="expired").status_code in (303, 400)


def test_what_happened_to_others_is_not_shown(visitor: Visitor) -> None:
    assert visitor.get("/tour/trace/0").status_code == 404


def test_attack_the_refusal_of_another_person_without_an_email_is_shown(visitor: Visitor) -> None:
    refused = visitor.get(visitor.break_with("wrong_key").headers["Location"])
    page = visitor.get(refused.headers["Location"])
    link = re.search(r'href="(/tour/trace/[0-9A-Z]+)"', page.text)
    assert link
    assert visitor.get(link[1]).status_code == 200
    visitor.client.delete_cookie("sp_form", domain="127.0.0.1")  # as in another browser
    assert visitor.get("/tour").status_code == 200
    assert visitor.get(link[1]).status_code == 404


def test_attack_a_real_deployment_has_no_tour(tmp_path: Path) -> None:
    real = Visitor(tmp_path)
    for path in ("/tour", "/tour/trace/ABC", "/tour/break"):
        assert real.own.test_client().get(path, base_url=URL).status_code == 404
        sent = real.get(path)  # a path of the application: it needs a sign-in like any other
        assert sent.status_code == 302
        assert sent.headers["Location"].startswith(f"{URL}/sso/start")


def test_attack_another_machine_gets_no_tour(visitor: Visitor) -> None:
    assert visitor.get("/tour", ip="192.0.2.7").status_code == 404
    assert visitor.get("/tour", ip="::ffff:192.0.2.7").status_code == 404


@pytest.mark.parametrize("trusted", ["", "127.0.0.1"])
def test_attack_another_machine_gets_no_tour_through_a_proxy_on_this_one(trusted: str, tmp_path: Path) -> None:
    visitor = Visitor(tmp_path, SP_SECRET_KEY="", SP_TRUSTED_PROXIES=trusted)
    assert visitor.sign_in().status_code == 303
    assert visitor.get("/tour").status_code == 200
    assert visitor.get("/tour", X_Forwarded_For="203.0.113.9").status_code == 404
    assert visitor.get("/tour", Forwarded="for=203.0.113.9").status_code == 404
