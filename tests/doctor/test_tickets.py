"""Only the doctor gets an echo: what a ticket allows, and what it does not."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from werkzeug.test import Client, TestResponse

from lab.clock import Clock
from sp.diagnosis.doctor.echo_server import serve
from sp.diagnosis.doctor.tickets import HEADER, LIFETIME, PATH, TicketRefused, Tickets
from tests.sp.gateway.gate import WAYS
from tests.support.gateway import URL, core_of, make_gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SCRIPT = {"Accept": "application/json"}


class Protected:
    """A gateway with an application that notes who calls it. *way* is "wsgi" or "asgi"."""

    def __init__(self, folder: Path, way: str = "wsgi", **settings: str) -> None:
        own = make_gateway(folder, None, SP_TRUSTED_PROXIES="127.0.0.1", **settings)
        config = core_of(own).config
        self.secret_keys = config.secret_keys
        self.tickets = Tickets(config.secret_keys, config.external_url)
        self.called: list[str] = []
        self.client = Client(WAYS[way](self.application, own, sites={}))

    def application(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.called.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the application"]

    def ask(self, path: str, ticket: str | None = "", **headers: str) -> TestResponse:
        """Ask with a valid ticket, with another one, or, for None, without."""
        sent = {} if ticket is None else {HEADER: ticket or self.tickets.sign()[1]}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        base = "http://127.0.0.1:5000"
        return self.client.get(
            path, base, headers={**SCRIPT, **sent, **named}, environ_base={"REMOTE_ADDR": "127.0.0.1"}
        )


@pytest.fixture(params=WAYS)
def protected(tmp_path: Path, request: pytest.FixtureRequest) -> Protected:
    return Protected(tmp_path, request.param)


STRANGERS: list[tuple[str, Callable[[Protected], str | None]]] = [
    ("no ticket", lambda _: None),
    ("rubbish", lambda _: "x.y.z"),
    ("too long", lambda _: "x" * 5000),
    ("of another gateway", lambda _: Tickets(["another secret key of an operator"], URL).sign()[1]),
    ("for another site", lambda protected: Tickets(protected.secret_keys, "http://other.example").sign()[1]),
    ("changed", lambda protected: changed(protected.tickets.sign()[1])),
]


def changed(ticket: str) -> str:
    """Change the signature. Its last letter would not do: of its six bits two mean nothing in base64."""
    return ticket[:-2] + ("A" if ticket[-2] != "A" else "B") + ticket[-1]


@pytest.mark.parametrize(("name", "ticket"), STRANGERS)
def test_attack_a_stranger_gets_no_echo(
    name: str, ticket: Callable[[Protected], str | None], protected: Protected
) -> None:
    assert protected.ask(f"{PATH}x", ticket(protected)).status_code == 401
    assert protected.ask("/sso/doctor", ticket(protected)).status_code == 404
    question = protected.ask("/sso/auth/nginx", ticket(protected), X_Original_URL=f"{PATH}x", X_Original_Method="GET")
    assert question.status_code == 401
    assert protected.called == []


def test_a_ticket_ends_after_two_minutes(protected: Protected, clock: Clock) -> None:
    _ticket, text = protected.tickets.sign()
    clock.tick(seconds=LIFETIME - 1)
    assert protected.ask("/sso/doctor", text).status_code == 200
    clock.tick(seconds=3)
    assert protected.ask("/sso/doctor", text).status_code == 404
    with pytest.raises(TicketRefused):
        protected.tickets.open(text)


@pytest.mark.parametrize(
    "path", ["/", "/secret", "/lychgate-doctor", f"{PATH}../secret", f"{PATH}%2e%2e/secret", f"{PATH}..;/secret"]
)
def test_attack_a_ticket_opens_no_page_of_the_application(path: str, protected: Protected) -> None:
    assert protected.ask(path).status_code in (400, 401)
    asked = protected.ask("/sso/auth/nginx", X_Original_URL=path, X_Original_Method="GET")
    assert asked.status_code in (401, 403)
    assert protected.called == []


def test_the_gateway_echoes_in_place_of_the_application(protected: Protected) -> None:
    echo = protected.ask(f"{PATH}x?a=b", Remote_User="mallory@example.com", X_Doctor="kept")
    assert echo.status_code == 200
    assert "mallory" not in echo.text
    assert ["X-Doctor", "kept"] in json.loads(echo.text)["headers"]
    assert echo.headers["Cache-Control"] == "no-store"
    assert protected.called == []


def test_attack_a_ticket_names_nobody_to_the_application(protected: Protected) -> None:
    answer = protected.ask("/sso/auth/nginx", X_Original_URL=f"{PATH}x", X_Original_Method="GET")
    assert answer.status_code == 200
    assert (answer.headers["Remote-User"], answer.headers["X-Lychgate-Assertion"]) == ("", "")


def test_attack_a_ticket_does_not_open_what_a_rule_forbids(tmp_path: Path) -> None:
    rules = tmp_path / "gateway.toml"
    rules.write_text('[[rules]]\npath = "/"\nallow = { groups = ["staff"] }\n')
    protected = Protected(tmp_path / "state", SP_CONFIG=str(rules))
    assert protected.ask("/secret").status_code == 401
    assert protected.called == []


def test_attack_the_echo_in_place_of_the_application_answers_no_stranger() -> None:
    import threading

    tickets = Tickets(["a secret key of the cast, long enough"], URL)
    with serve("127.0.0.1", 0, tickets) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}{PATH}x"

        def ask(**headers: str) -> Any:
            return httpx.get(url, headers=headers, trust_env=False)

        stranger = ask(Cookie="secret=1")
        held = ask(**{HEADER: tickets.sign()[1], "X-Doctor": "kept"})
        server.shutdown()
        thread.join()
    assert stranger.status_code == 403
    assert "headers" not in stranger.json()
    assert ["X-Doctor", "kept"] in held.json()["headers"]
