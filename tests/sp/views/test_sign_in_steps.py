"""The short way to the steps of a sign-in answers as Flask's way does: status, headers, cookies, body, log lines."""

import io
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pprint import pformat
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from sqlalchemy import func, select

import sp
from lab.minting import mint
from sp.database.models import Activity, SessionRecord, db
from sp.gateway import Gateway
from sp.signin import attempt
from sp.views import sign_in_steps, sso
from tests.sp.gateway.gate import call
from tests.support.gateway import core_of, make_gateway

KEY, OTHER_KEY = "the key of the corporate provider, long enough", "the key that mallory has made up, long enough"
LOGIN = {"login_url": "https://login.example.org/"}
CORPORATE = {**LOGIN, "keys": [KEY], "default": True, "deliveries": ["query", "form", "header"]}
PROVIDERS = {
    "corporate": CORPORATE,
    "open": {**CORPORATE, "default": False, "unsolicited": "accept"},
    "asking": {**LOGIN, "keys": [KEY], "preset": "ispring", "default": False},
    "abroad": {**CORPORATE, "default": False, "error_url": "https://login.example.org/problem"},
    "local": {"keys": [KEY], "default": False},
    "off": {**CORPORATE, "default": False, "enabled": False},
}
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "User-Agent": "Firefox"}
FORM = {**PAGE, "Content-Type": "application/x-www-form-urlencoded", "Origin": "https://login.example.org"}
BOTH = ("short", "long")
# Random values: nonces, sessions, references, ids, and what is signed with the time.
RANDOM = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|(?<=Expires=)[^;]+"), "TIME"),
    (re.compile(r"(?<==)[A-Za-z0-9_.-]{20,}(?=;|\Z)"), "VALUE"),
    (re.compile(r"(sp_pending_(?:trial_|site_)?)[0-9a-f]{8}"), r"\1NAME"),
    (re.compile(r"(nonce=)[A-Za-z0-9_-]+"), r"\1NONCE"),
    (re.compile(r"(reference(?:=|\": ?\"|</dt><dd>| )?)[0-9A-Z]{8,16}"), r"\1REFERENCE"),
    (re.compile(r"(access_token\": ?\")[A-Za-z0-9_-]+"), r"\1TOKEN"),
    (re.compile(r"(name=\"sign_in\"\s+value=\")[^\"]+"), r"\1SIGN_IN"),
    (re.compile(r"(name=\"csrf_token\"[^>]*value=\")[^\"]+"), r"\1CSRF"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{10}\b"), "REFERENCE"),
)

Ask = Callable[..., tuple[int, list[tuple[str, str]], str]]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    (tmp_path / "file.toml").write_text('[sites.wiki]\nurl = "http://wiki.example.org"\n')
    app = make_gateway(tmp_path, PROVIDERS, SP_CONFIG=str(tmp_path / "file.toml"))
    yield app
    core_of(app).database.engine.dispose()


@pytest.fixture
def ways(app: Flask) -> Mapping[str, Ask]:
    """Return how to ask a gateway that takes the short way, and one that takes Flask's only."""

    def asking(gateway: Gateway) -> Ask:
        def ask(method: str = "GET", path: str = "/sso/start", query: str = "", **more: Any) -> Any:
            body = more.pop("body", b"")
            headers = more.pop("headers", PAGE)
            environ = {
                "REQUEST_METHOD": method,
                "SCRIPT_NAME": "",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "5000",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_HOST": "127.0.0.1:5000",
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(body),
                "wsgi.errors": io.StringIO(),
                "wsgi.multithread": True,
                "wsgi.multiprocess": False,
                "wsgi.run_once": False,
                "CONTENT_LENGTH": str(len(body)),
                **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
            }
            environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
            (status, sent), answer = call(gateway, {**environ, **more})
            return status, sent, answer.decode()

        return ask

    short = Gateway(_unreached, app)
    assert isinstance(app.wsgi_app, sign_in_steps.SignInSteps)
    app.wsgi_app, steps = app.wsgi_app._flasks_way, app.wsgi_app  # type: ignore[method-assign]
    long = Gateway(_unreached, app)
    app.wsgi_app = steps  # type: ignore[method-assign]
    return {"short": asking(short), "long": asking(long)}


def _unreached(_environ: Any, _start_response: Any) -> Any:
    raise AssertionError("this is a URL of ours")


def test_the_only_teardown_that_the_short_way_leaves_out_ends_a_session_that_nobody_opens(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [function.__qualname__ for function in app.teardown_appcontext_funcs] == ["SQLAlchemy._teardown_session"]
    assert not app.teardown_request_funcs
    opened: list[str] = []
    monkeypatch.setattr(db.session.registry, "createfunc", lambda: opened.append("a session"))
    token = mint(claims(), KEY)
    assert app.test_client().get("/sso/start/open", headers=PAGE).status_code == 303
    assert app.test_client().get("/sso/login/jwt/open", query_string={"jwt": token}, headers=PAGE).status_code == 303
    refused = app.test_client().get("/sso/login/jwt/open", query_string={"jwt": token}, headers=PAGE)
    assert "code=token_replayed" in refused.location
    as_json = app.test_client().get("/sso/login/jwt", headers={"Accept": "application/json"})
    assert as_json.status_code == 400
    assert opened == []
    assert [file for file in Path(sp.__path__[0]).rglob("*.py") if "db.session" in file.read_text()] == []


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    person = {"sub": "a-1", "email": "alice@example.com", "name": "Alice"}
    return {"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, **person, **changed}


def token(key: str = KEY, **changed: Any) -> str:
    return mint(claims(**changed), key)


def without_random(text: str) -> str:
    for pattern, replacement in RANDOM:
        text = pattern.sub(replacement, text)
    return text


def shown(answer: tuple[int, list[tuple[str, str]], str]) -> Any:
    """Return an answer without its random values; each header and cookie in its place."""
    status, headers, body = answer
    told = []
    for name, value in headers:
        is_right = name == "Content-Length" and value == str(len(body.encode()))
        told.append((name, "ID" if name == "X-Request-Id" else "RIGHT" if is_right else without_random(value)))
    return status, told, without_random(body)


def asked_for(ask: Ask, provider: str = "corporate", **more: Any) -> tuple[str, str]:
    """Return the nonce and the Cookie header of a sign-in that was started."""
    status, headers, _body = ask(path=f"/sso/start/{provider}", query="return_to=/page", **more)
    assert status == 303
    location = next(value for name, value in headers if name == "Location")
    cookies = [value.partition(";")[0] for name, value in headers if name == "Set-Cookie"]
    return parse_qs(urlsplit(location).query)["nonce"][0], "; ".join(cookies)


def sign_in(ask: Ask, method: str = "POST", provider: str = "corporate", **changed: Any) -> Any:
    nonce, cookie = asked_for(ask, provider)
    fields = urlencode({"jwt": token(**{"nonce": nonce, **changed})})
    path = f"/sso/login/jwt/{provider}"
    if method == "GET":
        return ask("GET", path, fields, headers={**PAGE, "Cookie": cookie})
    return ask("POST", path, headers={**FORM, "Cookie": cookie}, body=fields.encode())


def post(ask: Ask, unverified: str, path: str = "/sso/login/jwt", **more: Any) -> Any:
    return ask("POST", path, headers={**FORM, **more}, body=urlencode({"jwt": unverified}).encode())


def twice(ask: Ask) -> Any:
    same = token()
    return post(ask, same, "/sso/login/jwt/open"), post(ask, same, "/sso/login/jwt/open")


def asked_first(ask: Ask) -> Any:
    """Answer with a token that has no nonce what another site has started: the page with the question has a form."""
    _nonce, cookie = asked_for(ask, "asking", headers={**PAGE, "Sec-Fetch-Site": "cross-site"})
    return post(ask, token(), "/sso/login/jwt/asking", Cookie=cookie)


def multipart(ask: Ask) -> Any:
    body = b'--x\r\nContent-Disposition: form-data; name="jwt"; filename="t"\r\n\r\nabc\r\n--x--\r\n'
    return ask("POST", "/sso/login/jwt", headers={**PAGE, "Content-Type": "multipart/form-data; boundary=x"}, body=body)


def chunked(ask: Ask) -> Any:
    return ask(
        "POST",
        "/sso/login/jwt",
        headers={**FORM, "Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
        **{"wsgi.input": io.BytesIO(urlencode({"jwt": "x" * 40_000}).encode())},
    )


STARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with a page": {"query": "return_to=%2Freports%3Fa%3D1"},
    "with a page elsewhere": {"query": "return_to=https://evil.example/"},
    "with a NUL": {"query": "return_to=%00"},
    "by name": {"path": "/sso/start/open"},
    "restarted": {"query": "restarted=1&return_to=/x"},
    "without login_url": {"path": "/sso/start/local"},
    "an unknown provider": {"path": "/sso/start/nobody"},
    "a disabled provider": {"path": "/sso/start/off"},
    "a name with a space": {"path": "/sso/start/a b"},
    "a name with other letters": {"path": "/sso/start/caf\u00c3\u00a9"},
    "the error page, whose path looks like a name": {"path": "/access/jwt/error", "query": "code=token_expired"},
    "no name": {"path": "/sso/start/"},
    "two names": {"path": "/sso/start/open/open"},
    "HEAD": {"method": "HEAD"},
    "POST": {"method": "POST"},
    "OPTIONS": {"method": "OPTIONS"},
    "PUT": {"method": "PUT"},
    "get in small letters": {"method": "get"},
    "for a program": {"headers": {"Accept": "application/json"}},
    "for a program, refused": {"path": "/sso/start/nobody", "headers": {"Accept": "application/json"}},
    "in a frame": {"headers": {**PAGE, "Sec-Fetch-Dest": "iframe"}},
    "from elsewhere": {"headers": {**PAGE, "Sec-Fetch-Site": "cross-site"}},
    "in German": {"headers": {**PAGE, "Accept-Language": "de"}, "path": "/sso/start/nobody"},
    "a forged form session": {"headers": {**PAGE, "Cookie": "sp_form=eyJhIjoxfQ.x.y; sp_theme=dark"}},
    "many sign-ins": {"headers": {**PAGE, "Cookie": "; ".join(f"sp_pending_{at:08x}=x" for at in range(9))}},
    "another port": {"headers": {**PAGE, "Host": "127.0.0.1:99999"}},
    "another name of this machine": {"headers": {**PAGE, "Host": "LOCALHOST."}},
    "another host": {"headers": {**PAGE, "Host": "evil.example"}},
    "no host": {"headers": {**PAGE, "Host": ""}},
    "below a mount point": {"SCRIPT_NAME": "/mounted"},
    "at a further site": {"headers": {**PAGE, "Host": "wiki.example.org"}, "query": "return_to=/x"},
    "a token at a further site": {"headers": {**PAGE, "Host": "wiki.example.org"}, "path": "/sso/login/jwt"},
    "forwarded by a stranger": {"headers": {**PAGE, "X-Forwarded-Host": "evil.example", "X-Request-Id": "chosen"}},
}
TOKENS: dict[str, Callable[[Ask], Any]] = {
    "a sign-in by form": sign_in,
    "a sign-in by query": lambda ask: sign_in(ask, "GET"),
    "a sign-in at the old path": lambda ask: post(ask, token(), "/access/jwt/open"),
    "an access token for a client": lambda ask: ask(
        "POST", "/sso/login/jwt/open", headers={"Authorization": f"Bearer {token()}"}
    ),
    "JSON by form": lambda ask: post(ask, token(), "/sso/login/jwt/open", Accept="application/json"),
    "a program is refused": lambda ask: ask("POST", "/sso/login/jwt", headers={"Authorization": "Bearer x.y.z"}),
    "a browser is refused": lambda ask: post(ask, "x.y.z"),
    "by the wrong key": lambda ask: post(ask, token(OTHER_KEY)),
    "too old": lambda ask: post(ask, token(iat=1, exp=2)),
    "a page of the provider": lambda ask: post(ask, "x.y.z", "/sso/login/jwt/abroad"),
    "twice": twice,
    "two tokens": lambda ask: ask("POST", "/sso/login/jwt", f"jwt={token()}", headers=FORM, body=b"jwt=abc"),
    "no token": lambda ask: ask("POST", "/sso/login/jwt", headers=FORM),
    "another nonce": lambda ask: sign_in(ask, nonce="another-nonce-that-was-never-asked-for"),
    "unsolicited, starts again": lambda ask: post(ask, token(email=f"{uuid.uuid4().hex}@example.com")),
    "asked first": asked_first,
    "a claim of the wrong type": lambda ask: sign_in(ask, email=["a"]),
    "too large": lambda ask: post(ask, "x" * 40_000),
    "chunks that are too large": chunked,
    "a file": multipart,
    "HEAD": lambda ask: ask("HEAD", "/sso/login/jwt", f"jwt={token()}"),
    "DELETE": lambda ask: ask("DELETE", "/sso/login/jwt", f"jwt={token()}"),
}


def compare(ways: Mapping[str, Ask], act: Callable[[Ask], Any], app: Flask, log: pytest.LogCaptureFixture) -> None:
    """Do the same both ways; the short way must leave what the long way leaves."""
    found = {}
    for way in BOTH:
        log.clear()
        before = counted(app)
        answers = act(ways[way])
        lines = [(record.name, record.levelname, without_random(record.getMessage())) for record in log.records]
        left = [after - number for after, number in zip(counted(app), before, strict=True)]
        found[way] = (
            [shown(answer) for answer in (answers if isinstance(answers[0], tuple) else [answers])],
            lines,
            left,
        )
    assert pformat(found["short"]).splitlines() == pformat(found["long"]).splitlines()


def counted(app: Flask) -> list[int]:
    tables: list[Any] = [Activity, SessionRecord]
    with core_of(app).database.engine.connect() as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


@pytest.mark.parametrize("request_", STARTS.values(), ids=STARTS)
def test_starts_are_alike(
    ways: Mapping[str, Ask], app: Flask, caplog: pytest.LogCaptureFixture, request_: dict[str, Any]
) -> None:
    compare(ways, lambda ask: ask(**request_), app, caplog)


@pytest.mark.parametrize("act", TOKENS.values(), ids=TOKENS)
def test_tokens_are_answered_alike(
    ways: Mapping[str, Ask], app: Flask, caplog: pytest.LogCaptureFixture, act: Callable[[Ask], Any]
) -> None:
    post(ways["long"], token(), "/sso/login/jwt/open")  # the account exists
    caplog.set_level(logging.INFO)
    compare(ways, act, app, caplog)


@pytest.mark.parametrize("endpoint", ["sso.start", "sso.login_jwt"])
@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), KeyError("x")])
def test_faults_are_answered_alike(
    ways: Mapping[str, Ask], app: Flask, caplog: pytest.LogCaptureFixture, endpoint: str, error: Exception
) -> None:
    def fail(**_arguments: Any) -> Any:
        raise error

    app.view_functions[endpoint] = fail
    path = "/sso/start" if endpoint == "sso.start" else "/sso/login/jwt"
    compare(ways, lambda ask: ask(path=path), app, caplog)
    assert "unexpected error" in caplog.text


def test_a_fault_of_an_error_handler_is_answered_alike(
    ways: Mapping[str, Ask], app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError("the log of refusals is full")

    monkeypatch.setattr(core_of(app).logbook, "note_refusal", fail)
    compare(ways, lambda ask: post(ask, "x.y.z"), app, caplog)


def test_a_database_that_is_gone_is_answered_alike(
    ways: Mapping[str, Ask], app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.errors import StoreUnavailable

    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(core_of(app).sign_in, "with_token", fail)
    compare(ways, lambda ask: post(ask, token(), "/sso/login/jwt/open"), app, caplog)


@pytest.mark.parametrize("way", BOTH)
def test_attack_a_refusal_after_the_token_was_opened_is_neither_verified_nor_logged_twice(
    ways: Mapping[str, Ask], app: Flask, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    verified: list[str] = []

    def note(unverified: str, *more: Any) -> Any:
        verified.append(unverified)
        return attempt.verify_with_keys(unverified, *more)

    monkeypatch.setattr(sso, "verify_with_keys", note)
    before = counted(app)
    status, headers, _body = post(ways[way], token(email="not an e-mail address"), "/sso/login/jwt/open")
    assert (status, len(verified)) == (303, 1)
    assert "/access/jwt/error" in dict(headers)["Location"]
    assert [after - number for after, number in zip(counted(app), before, strict=True)] == [1, 0]


def test_steps_take_the_short_way_and_unusual_requests_do_not(
    ways: Mapping[str, Ask], app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the comparison compares Flask with itself."""
    made: list[str] = []
    real = sign_in_steps.StepContext.__init__

    def note(self: Any, app: Flask, environ: Any, *more: Any) -> None:
        made.append(environ["PATH_INFO"])
        real(self, app, environ, *more)

    monkeypatch.setattr(sign_in_steps.StepContext, "__init__", note)
    for path in ("/sso/start", "/sso/start/open", "/sso/login/jwt", "/access/jwt", "/access/jwt/open"):
        ways["short"](path=path)
    error_page = "the error page, whose path looks like a name"
    for unusual in ("a name with a space", "OPTIONS", "no name", "two names", error_page):
        ways["short"](**STARTS[unusual])
    ways["short"](path="/login")
    ways["long"]()
    app.test_client().get("/sso/start", headers={"Host": "evil.example"})  # without the gateway in front
    with app.test_client() as client:
        client.get("/sso/start")  # the test may look at the context afterwards
    assert made == ["/sso/start", "/sso/start/open", "/sso/login/jwt", "/access/jwt", "/access/jwt/open"]
