"""Measure, in process, the time that the gateway adds to a protected request.

For each request, the gateway checks a session that can be revoked, removes identity headers that the client sent, and
sets the real identity. WSGI and ASGI are measured in the same way. The ASGI gateway runs without an event loop, because
it never waits if the session is in its cache. There are two measurements. In the first, the gateway has one site and no
rules. In the second, it has 50 sites with 500 rules in all, and 100 pages are requested in turn.

Negative controls run first. A request must not reach the application if it has no cookie or a forged one, if it is for
another site, or if a rule forbids it.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, session
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from bench.timing import Row, per_call
from sp import config as settings
from sp import create_app
from sp.activity.record import Visitor
from sp.gateway import AsgiGateway, Gateway
from sp.signin.opening import Opening

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SITES, RULES, PAGES = 50, 10, 100  # RULES for each site, PAGES for each measurement
BROWSER = {
    "Host": "127.0.0.1:5000",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


def rows() -> list[Row]:
    """Measure the gateway, and how Flask's session and Flask-Login recognise a person."""
    with tempfile.TemporaryDirectory() as folder:
        secret, gateway, queries = _gateway(Path(folder) / "one")
        actions = _actions("", gateway, f"theme=dark; sp_session={secret}")
        actions |= {"SecureCookieSession": _secure_cookie_session(), "Flask-Login": _flask_login(Path(folder))}
        secret, many, _queries = _gateway(Path(folder) / "many", _many_sites())
        actions |= _actions("many ", many, f"theme=dark; sp_session={secret}", range(PAGES))
        if b"reached" in b"".join(many(_environ(f"sp_session={secret}", "/forbidden/8/x"), _ignore)):
            raise AssertionError("the application was reached where a rule forbids it")
        before = queries()
        times = per_call(actions)
        asked = queries() - before

    def own(kind: str) -> float:
        return times[f"{kind}gateway"] - times[f"{kind}nothing"]

    secure, login = times["SecureCookieSession"], times["Flask-Login"]
    note = f"SecureCookieSession {secure:.0f} us, Flask-Login with a load {login:.0f} us"
    return [
        Row("the gateway's own time per request", own(""), "us", 3.5, at_most=True, note=note),
        Row("the same with 50 sites and 500 rules", own("many "), "us", 6, at_most=True),
        Row("ASGI: time above a bare ASGI application", own("ASGI "), "us", 15, at_most=True),
        Row("ASGI: the same with 50 sites and 500 rules", own("many ASGI "), "us", 15, at_most=True),
        Row(
            "database queries in those requests", asked, "", 2, at_most=True, note="SP_SESSION_CACHE ran out in between"
        ),
    ]


def _actions(kind: str, gateway: Gateway, cookie: str, pages: Iterable[int] = (0,)) -> dict[str, Callable[[], object]]:
    """Return functions that request *pages* in turn, through the gateway and without it."""
    asgi = AsgiGateway(_asgi_application, gateway.own)
    _turns_strangers_away(gateway, asgi, cookie)
    environs = cycle([_environ(cookie, f"/reports/{page}") for page in pages])
    scopes = cycle([_scope(cookie, f"/reports/{page}") for page in pages])
    b"".join(gateway(dict(next(environs)), _ignore))  # the first request looks the session up
    return {
        f"{kind}gateway": lambda: gateway(dict(next(environs)), _ignore),
        f"{kind}nothing": lambda: _application(dict(next(environs)), _ignore),
        f"{kind}ASGI gateway": lambda: _finish(asgi(dict(next(scopes)), _receive, _send)),
        f"{kind}ASGI nothing": lambda: _finish(_asgi_application(dict(next(scopes)), _receive, _send)),
    }


def _many_sites() -> str:
    """Return the text of an SP_CONFIG file with 49 more sites. Each site, also the home site, has ten rules."""
    rules = [(f"/forbidden/{number}/", '{ groups = ["admins"] }') for number in range(RULES - 1)]
    text = "".join(_rule("rules", *rule) for rule in (*rules, ("/reports/", '"signed-in"')))
    for number in range(SITES - 1):
        text += f'[sites.site{number}]\nurl = "http://site{number}.example.org"\n'
        text += "".join(_rule(f"sites.site{number}.rules", f"/{rule}/", '"anyone"') for rule in range(RULES))
    return text


def _rule(table: str, path: str, allow: str) -> str:
    return f'[[{table}]]\npath = "{path}"\nallow = {allow}\n'


def _gateway(folder: Path, file: str = "") -> tuple[str, Gateway, Callable[[], int]]:
    folder.mkdir()
    (folder / "lychgate.toml").write_text(file)
    config = settings.load(
        {
            "SP_INSTANCE": str(folder),
            "SP_SECRET_KEY": secrets.token_urlsafe(48),
            "SP_SESSION_CACHE": "60",
            **({"SP_CONFIG": str(folder / "lychgate.toml")} if file else {}),
        }
    )
    own = create_app(config)
    core = own.extensions["lychgate"]
    count = 0

    @event.listens_for(core.database.engine, "before_cursor_execute")
    def note(*_arguments: object) -> None:
        nonlocal count
        count += 1

    email, password = "carol@example.com", secrets.token_urlsafe(12)
    core.people.create_administrator(email, password)
    proven = core.people.authenticate(email, password)
    signed_in = core.sign_in.with_password(proven, Opening(Visitor(), "BENCH"))
    return signed_in.secret, Gateway(_application, own), lambda: count


def _environ(cookie: str, path: str = "/reports", host: str = BROWSER["Host"]) -> dict[str, object]:
    """Return the WSGI environ of a browser's request with this Cookie header."""
    headers = Headers(list({**BROWSER, "Host": host}.items()))
    if cookie:
        headers.add("Cookie", cookie)
    environ: dict[str, object] = EnvironBuilder(path=path, headers=headers).get_environ()
    return environ


def _application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reached"]


def _scope(cookie: str, path: str = "/reports") -> dict[str, Any]:
    """Return the ASGI scope of the same request, as uvicorn makes it."""
    lines = [*BROWSER.items(), *([("Cookie", cookie)] if cookie else [])]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 5000),
        "client": ("127.0.0.1", 4711),
        "scheme": "http",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in lines],
        "state": {},
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }


async def _asgi_application(_scope: object, _receive: object, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"reached"})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: dict[str, Any]) -> None:
    return None


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* to its end. Raises AssertionError if *work* waits for something."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def _ignore(_status: str, _headers: list[tuple[str, str]], _exc_info: object = None) -> Callable[[bytes], object]:
    return lambda _octets: None


def _turns_strangers_away(gateway: WSGIApplication, asgi: AsgiGateway, cookie: str) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    for stranger in ("", f"sp_session={secrets.token_urlsafe(32)}"):
        if b"reached" in b"".join(gateway(_environ(stranger), _ignore)):
            raise AssertionError("the application was reached without a session")
        asyncio.run(asgi(_scope(stranger), _receive, send))
    if b"reached" in b"".join(gateway(_environ(cookie, host="site1.example.org"), _ignore)):
        raise AssertionError("the application of another site was reached")
    if not sent or any(b"reached" in message.get("body", b"") for message in sent):
        raise AssertionError("the ASGI application was reached without a session")


def _secure_cookie_session() -> Callable[[], object]:
    """Return a function that opens Flask's signed session cookie, which has no revocation and no idle limit."""
    app = Flask("peer")
    app.secret_key = secrets.token_urlsafe(48)
    with app.test_request_context():
        session["user"], session["at"] = "carol@example.com", int(time.time())
        response = app.make_response("")
        app.session_interface.save_session(app, session, response)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    environ = _environ(cookie)

    def open_session() -> object:
        request = app.request_class(dict(environ))
        opened = app.session_interface.open_session(app, request)
        if opened is None or opened["user"] != "carol@example.com":
            raise AssertionError("the cookie was not believed")
        return opened

    return open_session


def _flask_login(folder: Path) -> Callable[[], object]:
    """Return a function that lets Flask-Login load its user through the ORM, as its documentation shows."""

    class Base(DeclarativeBase):
        pass

    class User(UserMixin, Base):  # type: ignore[misc]
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str]

    db = SQLAlchemy(model_class=Base)
    app = Flask("peer")
    app.config.update(SECRET_KEY="s" * 48, SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder / 'peer.sqlite3'}")
    db.init_app(app)
    manager = LoginManager(app)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(user_id: str) -> User | None:
        return db.session.get(User, int(user_id))

    with app.test_request_context():
        db.create_all()
        db.session.add(User(id=1, email="carol@example.com"))
        db.session.commit()
        login_user(db.session.get(User, 1))
        response = app.make_response("")
        app.session_interface.save_session(app, session, response)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    environ = _environ(cookie)

    def load_once() -> object:
        with app.request_context(dict(environ)):
            if current_user.email != "carol@example.com":
                raise AssertionError("nobody was loaded")
        return None

    return load_once
