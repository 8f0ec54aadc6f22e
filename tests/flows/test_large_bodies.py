"""A stranger can send 32 KiB at most to our URLs: more is rejected by its Content-Length, before it is read."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

import idp
from idp.config import Settings
from lab.pair import Pair, table
from tests.sp.conftest import MakeGateway
from tests.sp.conftest import gateway as gateway
from tests.sp.settings_support import CORPORATE, PAGE, administrator_of
from tests.support.gateway import make_gateway

MOST = 32 * 1024  # bytes
FORM = "application/x-www-form-urlencoded"
UPLOAD = "multipart/form-data; boundary=x"
TOO_LARGE = b" 413 "
SERVICE = {"preset": "lychgate", "return_url": "http://127.0.0.1:1/sso/login/jwt", "keys": ["k" * 48]}


@pytest.fixture(params=["sp", "idp"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Flask:
    """Each program, in this process."""
    if request.param == "sp":
        return make_gateway(tmp_path, {"corporate": CORPORATE})
    settings = Settings(
        tmp_path, ("a secret key of this test alone",), f"sqlite:///{tmp_path}/db", "http://idp.example"
    )
    app = idp.create_app(settings)
    (tmp_path / "services.toml").write_text(table("services.gate", SERVICE))
    assert app.test_cli_runner().invoke(args=["services", "apply", str(tmp_path / "services.toml")]).exit_code == 0
    return app


def addresses(app: Flask) -> list[str]:
    """Return every URL that accepts a body, except those of administrators, which do not read a stranger's."""
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    paths = [rule.rule.replace("<provider_name>", "corporate").replace("<public_id>", "x") for rule in rules]
    return [path for path in paths if "/settings/" not in path]


@pytest.mark.parametrize("content_type", [FORM, UPLOAD])
def test_no_address_takes_more_than_32_kib_of_a_stranger(content_type: str, program: Flask) -> None:
    client = program.test_client()
    assert addresses(program)
    for path in addresses(program):
        body = b"x=" + b"a" * (MOST - 2)
        assert client.post(path, data=body + b"a", content_type=content_type).status_code == 413, path
        assert client.post(path, data=body, content_type=content_type).status_code != 413, path


def test_a_stranger_at_the_settings_pages_is_sent_to_the_sign_in_and_nothing_is_read(gateway: MakeGateway) -> None:
    client = gateway({"corporate": CORPORATE}).test_client()
    answer = client.post(PAGE, data={"display_name": "a" * 3 * MOST})
    assert answer.status_code == 303
    assert answer.location.startswith("/login?no_sso")


def test_an_administrator_may_send_more(gateway: MakeGateway) -> None:
    visitor = administrator_of(gateway({"corporate": CORPORATE}))
    visitor.open(PAGE)
    form = visitor.form(PAGE)
    assert visitor.send(form.fill(keys="a" * 3 * MOST) if "keys" in form.fields else form).status_code == 200
    form.fields["further"] = "a" * 3 * MOST
    assert visitor.client.post(PAGE, data=form.fields).status_code != 413
    form.fields["further"] = "a" * 8 * MOST
    assert visitor.client.post(PAGE, data=form.fields).status_code == 413


@pytest.mark.parametrize(
    ("program", "path"),
    [
        *(("sp", path) for path in ("/sso/login/jwt", "/login", "/logout", "/sso/logout/backchannel", "/sso/token")),
        *(("idp", path) for path in ("/login-token/", "/logout")),
    ],
)
def test_a_served_program_answers_before_the_body_comes(program: str, path: str, pair: Pair) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: {FORM}\r\n"
    url = getattr(pair, program).url
    assert TOO_LARGE in talk(url, head + f"Content-Length: {MOST + 1}\r\n\r\n")
    chunk = "1000\r\n" + "a" * 0x1000 + "\r\n"
    assert TOO_LARGE in talk(url, head + "Transfer-Encoding: chunked\r\n\r\n" + chunk * 9)


def talk(url: str, request: str) -> bytes:
    """Send *request* and return the first line of the answer."""
    host = urlsplit(url).netloc
    with socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=30) as connection:
        connection.sendall(request.format(host=host).encode())
        return connection.makefile("rb").readline()
