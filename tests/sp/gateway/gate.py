"""A gateway in this process, with its real database, in front of an application that writes down what reaches it."""

import io
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, select, update

from lab.cast import Person
from lab.pair import table
from sp.components import Components
from sp.database.models import Account
from sp.emails import email_key
from sp.gateway import Gateway
from sp.sessions.at_sites import find_home, open_at_site
from sp.sessions.store import BROWSER, NewSession, Origin, hash_id
from tests.support.asgi_as_wsgi import AsgiAsWsgi
from tests.support.asking_at_once import AskedTwice
from tests.support.gateway import core_of, make_gateway

HOST = "127.0.0.1:5000"
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}

WAYS: dict[str, Any] = {"wsgi": Gateway, "asgi": AsgiAsWsgi, "at once": AskedTwice}

_account: Any = Account.__table__


@dataclass
class Answer:
    """What came back, and the environ in which the application was called: None if it was not."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    seen: dict[str, Any] | None

    def header(self, name: str) -> str | None:
        """Return the one header *name*, or None."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gate:
    """The gateway, the application behind it and the parts inside."""

    gateway: Any
    core: Components
    seen: list[dict[str, Any]] = field(default_factory=list)
    queries: int = 0

    def person(self, person: Person, **more: Any) -> int:
        """Make an account for *person*, or change it, and return its id."""
        values = {
            "given_name": person.given_name,
            "family_name": person.family_name,
            "groups": list(person.groups),
            **more,
        }
        with self.core.database.engine.execution_options(write=True).begin() as connection:
            known = connection.execute(select(_account.c.id).where(_account.c.email == person.email)).scalar()
            if known is not None:
                connection.execute(update(_account).where(_account.c.id == known).values(**values))
                return int(known)
            values = {"email": person.email, "email_key": email_key(person.email), "attributes": {}, **values}
            values = {"is_active": True, "is_admin": False, "created_at": now(), **values}
            return int(connection.execute(insert(_account).returning(_account.c.id), values).scalar_one())

    def sign_in(self, person: Person, **more: Any) -> str:
        """Open a session for *person* and return the secret of its cookie.

        One at a further *site* belongs to a session at home, which is opened too unless *home*, its secret, is given.
        """
        if more.get("site", "home") != "home":
            return self._sign_in_at_site(more.pop("site"), more.pop("home", None) or self.sign_in(person, **more))
        account_id = self.person(person)
        new = NewSession.generate()
        how: dict[str, Any] = {"now": int(time.time()), "kind": BROWSER, "opened_with": None}
        how = {name: more.pop(name, value) for name, value in how.items()}
        origin = Origin(account_id, **{"provider": "corporate", "subject": person.email, **more})
        with self.core.database.engine.execution_options(write=True).begin() as connection:
            self.core.sessions.open(connection, new, origin, **how)
        return new.secret

    def _sign_in_at_site(self, site: str, home_secret: str) -> str:
        new, now = NewSession.generate(), int(time.time())
        with self.core.database.engine.execution_options(write=True).begin() as connection:
            home = find_home(connection, hash_id(home_secret), now, self.core.sessions.idle)
            assert home is not None
            open_at_site(connection, new, home.origin(site, "", ""), home, now)
        return new.secret

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        *,
        secret: Any = None,
        body: Any = b"",
        query: Any = "",
        **environ: Any,
    ) -> Answer:
        """Send a request as a WSGI server would hand it over. *path* is PATH_INFO, decoded once."""
        self.seen.clear()
        full: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": HOST,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            full["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        if secret is not None:
            full["HTTP_COOKIE"] = f"theme=dark; sp_session={secret}"
        full.update(environ)
        status, sent = call(self.gateway, full)
        return Answer(status[0], status[1], sent, dict(self.seen[0]) if self.seen else None)


def make_gate(
    folder: Path,
    rules: Sequence[Mapping[str, Any]] = (),
    *,
    app: Any = None,
    more: str = "",
    way: str = "wsgi",
    **settings: Any,
) -> Gate:
    """Return a gate with these rules and settings. *app* replaces the application that writes down.

    *way* is the middleware: "wsgi" or "asgi", or "at once" for what our own server asks. *more* is the rest of the
    file, in TOML. The sites in it have the same application, if they have one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if rules or more:
        file = folder / "rules.toml"
        file.write_text("".join(table("[rules]", rule) for rule in rules) + more)
        settings = {"SP_CONFIG": str(file), **settings}
    own = make_gateway(folder, None, **settings)
    gate = Gate(None, core_of(own))

    def write_down(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        gate.seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"reached"]

    sites = {site.name: app or write_down for site in gate.core.config.sites if site.app}
    gate.gateway = WAYS[way](app or write_down, own, sites=sites)

    @event.listens_for(gate.core.database.engine, "before_cursor_execute")
    def count(*_arguments: object) -> None:
        gate.queries += 1

    return gate


def call(app: Any, environ: dict[str, Any]) -> tuple[tuple[int, list[tuple[str, str]]], bytes]:
    """Call a WSGI application; return status and headers, and the body, closed as servers close it."""
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        started.append((int(status.split()[0]), headers))
        return lambda _data: None

    body = app(environ, start_response)
    try:
        sent = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return started[-1], sent


def now() -> Any:
    """Return the time as accounts keep it."""
    from datetime import UTC, datetime

    return datetime.now(UTC)


def unknown_secret() -> str:
    """Return a session id that does not exist."""
    return secrets.token_urlsafe(32)
