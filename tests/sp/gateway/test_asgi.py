"""What is of ASGI alone: raw header lines, streams, lifespan, threads, and what the application finds in its scope."""

import asyncio
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE, CAROL, Person
from lab.minting import mint
from shared.request_limits import MAX_BODY
from shared.threads import Threads
from sp.gateway import AsgiGateway, asgi_answers, asgi_exchange
from sp.gateway.asgi_scope import key_of
from tests.sp.gateway.asgi_client import Exchange, Recorder, around, cookie, respond, run, scope
from tests.sp.gateway.gate import HOST, PAGE, Gate
from tests.sp.gateway.test_identity import SPELLINGS

HTML = (b"accept", b"text/html")
FORGED = CAROL.email.encode()


def ask(app: Any, asked: dict[str, Any], body: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
    """Ask once; return status, headers and body."""
    got: list[Any] = []

    async def test() -> None:
        exchange = Exchange(app, asked)
        exchange.give(type="http.request", body=body, more_body=False)
        start = await exchange.next()
        text, more = b"", True
        while more:
            message = await exchange.next()
            text, more = text + message.get("body", b""), message.get("more_body", False)
        await exchange.end()
        got.extend((start["status"], dict(start["headers"]), text))

    run(test)
    return got[0], got[1], got[2]


@pytest.mark.parametrize("path", ["/page", "/public/page"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_attack_no_spelling_of_an_identity_header_reaches_the_application(
    gate: Gate, path: str, signed_in: bool
) -> None:
    forged = [(name.encode(), FORGED) for spelling in SPELLINGS for name in {spelling, spelling.lower()}]
    forged += [(b"Remote\xadUser", FORGED), (b"remote-user ", FORGED), (b"\tremote-user", FORGED), (b"", FORGED)]
    app = Recorder()
    lines = [*forged, *([cookie(gate.sign_in(ALICE))] if signed_in else [])]
    status, _headers, _body = ask(around(gate, app), scope("http", path, *lines))
    if not app.scopes:
        assert (path, signed_in, status) == ("/page", False, 302)
        return
    assert CAROL.email not in repr(app.last)
    assert (app.last["lychgate.user"] or {}).get("email") == (ALICE.email if signed_in else None)


@pytest.mark.parametrize("name", [b"x_custom", b"cookie_", b"content_length", b"a b", b"caf\xe9", b"x\x00y", b"x:y"])
def test_a_header_that_is_not_a_plain_name_is_dropped(gate: Gate, name: bytes) -> None:
    """Some frameworks read x_custom as x-custom; nginx and gunicorn drop it as well."""
    app = Recorder()
    ask(around(gate, app), scope("http", "/public/x", (name, b"1"), (b"x-custom", b"2")))
    assert [value for key, value in app.last["headers"] if key in (name, b"x-custom")] == [b"2"]


@pytest.mark.parametrize("key", ["lychgate.user", "lychgate.anything", "sso.user", "sso.x"])
def test_attack_a_key_that_was_in_the_scope_before_is_not_believed(gate: Gate, key: str) -> None:
    app, forged = Recorder(), {key: {"email": CAROL.email}}
    ask(around(gate, app), scope("http", "/public/x", **forged))
    assert CAROL.email not in repr(app.last)
    assert app.last["lychgate.user"] is None


@pytest.mark.parametrize(
    "hosts", [[b"evil.example", HOST.encode()], [HOST.encode(), b"evil.example"], [HOST.encode()] * 2, []]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_attack_a_doubled_or_missing_host_is_refused(gate: Gate, hosts: list[bytes], kind: str) -> None:
    app, asked = Recorder(), scope(kind, "/public/x", HTML)
    asked["headers"] = [*((b"host", host) for host in hosts), HTML]

    async def test() -> None:
        first = await Exchange(around(gate, app), asked).next()
        assert (first.get("status"), first["type"]) in ((400, "http.response.start"), (None, "websocket.close"))

    run(test)
    assert app.scopes == []


@pytest.mark.parametrize("first", [True, False])
def test_attack_two_cookie_lines_that_differ_open_nothing(gate: Gate, first: bool) -> None:
    app, good = Recorder(), cookie(gate.sign_in(ALICE))
    lines = [good, (b"cookie", b"sp_session=" + b"A" * 43)]
    assert ask(around(gate, app), scope("http", "/page", *(lines if first else lines[::-1])))[0] == 302


def test_cookies_in_several_lines_as_http_2_has_them_are_one_header_without_ours(gate: Gate) -> None:
    app = Recorder()
    lines = [(b"cookie", b"a=1"), cookie(gate.sign_in(ALICE)), (b"cookie", b"sp_form=x"), (b"cookie", b"b=2")]
    assert ask(around(gate, app), scope("http", "/page", *lines))[0] == 200
    assert [value for name, value in app.last["headers"] if name == b"cookie"] == [b"a=1; theme=dark; b=2"]


LARGE: dict[str, list[tuple[bytes, bytes]]] = {
    "lines of one name": [(b"a", b"b")] * 300_000,
    "cookies": [(b"cookie", b"a=1")] * 201,
    "a long value": [(b"cookie", b"x" * 65_536)],
    "a long name": [(b"x" * 65_536, b"1")],
}


@pytest.mark.parametrize("lines", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_attack_headers_without_end_are_not_read_in_the_event_loop(gate: Gate, lines: Any, kind: str) -> None:
    app, asked, read = Recorder(), scope(kind, "/public/x"), []

    class Lines(list[Any]):
        def __iter__(self) -> Any:
            read.append(len(self))
            return super().__iter__()

    asked["headers"] = Lines([*asked["headers"], *lines])
    asked["extensions"] = {"websocket.http.response": {}}

    async def test() -> None:
        first = await Exchange(around(gate, app), asked).next()
        assert first["status"] == 431
        assert b"x-request-id" in dict(first["headers"])

    run(test)
    assert app.scopes == []
    assert sum(read) <= 202  # at most once, to add up their lengths


def test_two_hundred_header_lines_reach_the_application(gate: Gate) -> None:
    app = Recorder()
    lines = [(b"x-%d" % number, b"1" * 200) for number in range(199)]
    assert ask(around(gate, app), scope("http", "/public/x", *lines))[0] == 200
    assert set(lines) <= set(app.last["headers"])


@pytest.mark.parametrize("path", ["/public/\ufffd", "/public/" + chr(0xDCFF), "/caf\ufffd/x"])
def test_attack_a_path_of_which_the_server_replaced_bytes_is_refused(gate: Gate, path: str) -> None:
    app, asked = Recorder(), scope("http", "/", HTML) | {"path": path, "raw_path": b"/public/%ff"}
    assert ask(around(gate, app), asked)[0] == 400
    assert app.scopes == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 200),
        ({"raw_path": None}, 200),
        ({"raw_path": b"/public/x?a=b"}, 200),  # some servers leave the query in it
        ({"raw_path": b"/public%2fx"}, 302),
        ({"raw_path": b"/public/../x"}, 400),
        ({"root_path": "/app", "path": "/app/public/x", "raw_path": b"/app/public/x"}, 200),
        ({"root_path": "/app/", "path": "/app/public/x", "raw_path": b"/app/public/x"}, 200),
        ({"root_path": "/app", "path": "/public/x"}, 200),  # a server that leaves the mount point out
        ({"root_path": "/app", "path": "/app/public/x", "raw_path": b"/app/public%2fx"}, 302),
        ({"root_path": "/public", "path": "/public/x", "raw_path": b"/public/x"}, 302),
        ({"root_path": "/app", "path": "/apppublic/x", "raw_path": b"/apppublic/x"}, 400),
        ({"root_path": "/café", "path": "/café/public/x", "raw_path": b"/caf%C3%A9/public/x"}, 200),
    ],
)
def test_a_path_is_read_as_applications_may_read_it(gate: Gate, more: dict[str, Any], status: int) -> None:
    asked = scope("http", "/public/x", HTML) | more
    assert ask(around(gate, Recorder()), asked)[0] == status


@pytest.mark.parametrize("missing", ["raw_path", "root_path", "client", "server", "scheme", "query_string", "state"])
def test_what_a_server_may_leave_out_is_not_needed(gate: Gate, missing: str) -> None:
    app, asked = Recorder(), scope("http", "/page", cookie(gate.sign_in(ALICE)))
    del asked[missing]
    assert ask(around(gate, app), asked)[0] == 200
    assert app.last["lychgate.user"]["email"] == ALICE.email


def test_what_else_is_in_the_scope_passes_untouched(gate: Gate) -> None:
    app, asked = Recorder(), scope("http", "/page", (b"x-a", b"1"), (b"x-a", b"2"), cookie(gate.sign_in(ALICE)))
    asked |= {"extensions": {"http.response.pathsend": {}, "tls": {"x": 1}}, "state": {"pool": object()}, "x": 7}
    before = {key: value for key, value in asked.items() if key != "headers"}
    lines = list(asked["headers"])
    ask(around(gate, app), asked)
    assert {key: value for key, value in app.last.items() if key not in ("headers", "lychgate.user")} == before
    assert app.last["state"] is asked["state"]
    assert asked["headers"] == lines
    assert [value for name, value in app.last["headers"] if name == b"x-a"] == [b"1", b"2"]


def test_headers_with_the_identity_are_added_where_the_operator_asks(make: Callable[..., Gate]) -> None:
    gate, app = make(SP_IDENTITY_HEADERS="x-forwarded"), Recorder()
    secret = gate.sign_in(Person("zoe@example.com", "", "Zoë", "Liddell", ("staff",)))
    lines = [(b"x-forwarded-user", FORGED), (b"X-Forwarded-Groups", b"admins"), cookie(secret)]
    ask(around(gate, app), scope("http", "/page", *lines))
    told = [line for line in app.last["headers"] if line[0].lower().startswith(b"x-forwarded")]
    assert sorted(told) == [
        (b"x-forwarded-email", b"zoe@example.com"),
        (b"x-forwarded-groups", b"staff"),
        (b"x-forwarded-preferred-username", b""),
        (b"x-forwarded-user", b"zoe@example.com"),
    ]


def test_an_access_token_is_not_passed_on(gate: Gate) -> None:
    app, secret = Recorder(), gate.sign_in(ALICE, kind="api")
    ask(around(gate, app), scope("http", "/page", (b"Authorization", b"Bearer " + secret.encode())))
    assert app.last["lychgate.user"]["email"] == ALICE.email
    assert secret not in repr(app.last)


def test_each_request_has_an_id_in_both_directions(gate: Gate) -> None:
    app = Recorder()
    _status, headers, _body = ask(around(gate, app), scope("http", "/public/x", (b"x-request-id", b"mine")))
    assert [line for line in app.last["headers"] if line[0] == b"x-request-id"] == [
        (b"x-request-id", headers[b"x-request-id"])
    ]
    assert headers[b"x-request-id"] != b"mine"
    assert len(ask(around(gate, app), scope("http", "/login", HTML))[1][b"x-request-id"]) == 16


def test_attack_a_client_that_closes_in_the_middle_of_an_upload_is_a_lost_connection() -> None:
    """Flask answers an OSError while it reads a body, and logs no traceback. It knows no CancelledError."""

    async def test() -> None:
        closed = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await closed.wait()
            return {"type": "http.disconnect"}

        exchange = asgi_exchange.Exchange(Threads(1), receive, receive)  # type: ignore[arg-type]
        body = exchange.input(b"the beginning")
        reading = asyncio.ensure_future(asyncio.to_thread(body.read))
        while exchange._wait is None:
            await asyncio.sleep(0.001)
        closed.set()
        with pytest.raises(ConnectionAbortedError):
            await reading
        with pytest.raises(ConnectionAbortedError):
            body.read()

    run(test)


def test_bodies_and_events_pass_piece_by_piece(gate: Gate) -> None:
    """The application reads and writes in turns with the client: nothing is collected in between."""

    async def echo(_scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})
        while (message := await receive())["type"] == "http.request":
            await send({"type": "http.response.body", "body": b"data: " + message["body"], "more_body": True})
        disconnected.append(message)

    disconnected: list[Any] = []

    async def test() -> None:
        exchange = Exchange(around(gate, echo), scope("http", "/page", cookie(gate.sign_in(ALICE)), method="POST"))
        assert (await exchange.next())["headers"][0] == (b"content-type", b"text/event-stream")
        for piece in (b"one", b"two", b"x" * 1_000_000):
            exchange.give(type="http.request", body=piece, more_body=True)
            assert await exchange.next() == {"type": "http.response.body", "body": b"data: " + piece, "more_body": True}
        exchange.give(type="http.disconnect")
        await exchange.end()

    run(test)
    assert disconnected == [{"type": "http.disconnect"}]


@pytest.mark.parametrize("accept", [HTML, (b"accept", b"application/json")])
@pytest.mark.parametrize(("path", "status"), [("/upload", 401), ("/a//b", 400), ("/admin/x", 403)])
def test_a_request_that_is_denied_is_not_read(gate: Gate, path: str, status: int, accept: tuple[bytes, bytes]) -> None:
    async def never() -> Any:
        raise AssertionError("a part of the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app, lines = around(gate, Recorder()), [accept, (b"content-length", b"9"), (b"origin", b"null")]
    lines += [cookie(gate.sign_in(ALICE))] if status == 403 else []
    run(lambda: app(scope("http", path, *lines, method="POST"), never, send))
    assert sent[0]["status"] == (303 if status == 401 and accept is HTML else status)


def test_the_applications_own_error_is_the_servers_to_handle(gate: Gate) -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(around(gate, broken), scope("http", "/public/x"))


def test_the_applications_401_begins_a_sign_in_and_its_body_is_dropped(gate: Gate) -> None:
    async def who_are_you(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"who are", "more_body": True})
        await send({"type": "http.response.body", "body": b" you?"})

    app = around(gate, who_are_you, sign_in_on_401=True)
    status, headers, body = ask(app, scope("http", "/public/mine", HTML) | {"query_string": b"tab=1"})
    assert (status, headers[b"location"]) == (
        302,
        f"http://{HOST}/sso/start?return_to=%2Fpublic%2Fmine%3Ftab%3D1".encode(),
    )
    assert b"who are" not in body
    assert len(headers[b"x-request-id"]) == 16
    assert ask(app, scope("http", "/public/mine", (b"accept", b"application/json")))[2] == b"who are you?"
    assert ask(app, scope("http", "/public/mine", HTML, cookie(gate.sign_in(ALICE))))[0] == 401
    assert ask(around(gate, who_are_you), scope("http", "/public/mine", HTML))[0] == 401


@pytest.mark.parametrize("kind", ["webtransport", "http2", ""])
def test_attack_a_protocol_that_the_gateway_does_not_know_reaches_no_application(gate: Gate, kind: str) -> None:
    app = Recorder()
    with pytest.raises(ValueError, match="cannot protect"):
        run(lambda: around(gate, app)(scope(kind), None, None))  # type: ignore[arg-type]
    assert app.scopes == []


def test_the_lifespan_is_the_applications(gate: Gate) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.append(arguments)

    given = ({"type": "lifespan", "state": {}}, object(), object())
    run(lambda: around(gate, app)(*given))  # type: ignore[arg-type]
    assert all(mine is theirs for mine, theirs in zip(seen[0], given, strict=True))


SITES = (
    '[sites.wiki]\nurl = "http://wiki.example.org"\napp = "wiki:app"\n[sites.shop]\nurl = "http://shop.example.org"\n'
)


class WithLifespan:
    """An application that keeps something in its state, and shows it."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name, self.fails, self.events = name, fails, []  # type: ignore[var-annotated]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await respond(send, scope["state"]["name"].encode())
        while True:
            event = (await receive())["type"]
            self.events.append(event.partition(".")[2])
            scope["state"]["name"] = self.name
            await send({"type": f"{event}.failed" if self.fails else f"{event}.complete", "message": "no database"})
            if event == "lifespan.shutdown" or self.fails:
                return None


async def without_lifespan(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await respond(send)


def test_each_sites_application_has_its_own_lifespan_and_state(make: Callable[..., Gate]) -> None:
    gate, home, wiki = make(more=SITES), WithLifespan("home"), WithLifespan("wiki")
    secrets = {"home": gate.sign_in(ALICE), "wiki": gate.sign_in(ALICE, site="wiki")}
    app = around(gate, home, sites={"wiki": wiki})

    async def test() -> None:
        state: dict[str, Any] = {}
        exchange = Exchange(app, {"type": "lifespan", "state": state})
        exchange.give(type="lifespan.startup")
        assert await exchange.next() == {"type": "lifespan.startup.complete"}
        for site, host in (("home", HOST), ("wiki", "wiki.example.org")):
            asked = scope("http", "/page", cookie(secrets[site]), state=dict(state))
            asked["headers"][0] = (b"host", host.encode())
            request = Exchange(app, asked)
            await request.next()
            assert (await request.next())["body"] == site.encode()
        exchange.give(type="lifespan.shutdown")
        assert await exchange.next() == {"type": "lifespan.shutdown.complete"}
        await exchange.end()

    run(test)
    assert home.events == wiki.events == ["startup", "shutdown"]


def test_where_one_application_cannot_start_the_server_hears_why(make: Callable[..., Gate]) -> None:
    gate, home = make(more=SITES), WithLifespan("home")
    broken = WithLifespan("wiki", fails=True)
    for site, said in ((broken, "lifespan.startup.failed"), (without_lifespan, "lifespan.startup.complete")):

        async def test(site: Any = site, said: str = said) -> None:
            exchange = Exchange(around(gate, home, sites={"wiki": site}), {"type": "lifespan", "state": {}})
            exchange.give(type="lifespan.startup")
            message = await exchange.next()
            assert (message["type"], "no database" in message.get("message", "")) == (said, "failed" in said)
            exchange.task.cancel()

        run(test)


async def two(_scope: Any, _receive: Any) -> None:
    """Take an argument too few."""


class Asgi2:
    """An application of ASGI 2."""

    def __init__(self, scope: Any) -> None:
        """Take the scope alone."""


def wsgi(_environ: Any, _start_response: Any) -> list[bytes]:
    return []


@pytest.mark.parametrize("app", [None, 5, two, Asgi2, wsgi], ids=["none", "number", "two", "asgi 2", "wsgi"])
def test_what_is_not_an_asgi_application_is_refused(gate: Gate, app: Any) -> None:
    with pytest.raises(TypeError, match="ASGI"):
        AsgiGateway(app, gate.gateway.own)
    with pytest.raises(TypeError, match="ASGI"):
        AsgiGateway(Recorder(), gate.gateway.own, sites={"wiki": app})


def in_thread_of(found: list[str], work: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        found.append(threading.current_thread().name)
        return work(*args, **kwargs)

    return noted


def test_the_event_loop_never_asks_the_database(make: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch) -> None:
    gate, app, threads = make(SP_SESSION_CACHE="60"), Recorder(), []  # type: ignore[var-annotated]
    database = gate.core.database
    for name in ("reading", "writing"):
        monkeypatch.setattr(database, name, in_thread_of(threads, getattr(database, name)))
    asked = scope("http", "/page", HTML, cookie(gate.sign_in(ALICE)))
    gateway = around(gate, app)
    threads.clear()

    async def test() -> None:
        for _ in range(3):
            await Exchange(gateway, asked).end()
        assert len(threads) == 2  # one look-up and its use; the other requests found the session in the cache
        for path in ("/admin/x", "/login", "/account", "/nowhere", "/sso/auth/forward", "/.well-known/jwks.json"):
            exchange = Exchange(gateway, scope("http", path, HTML, cookie(gate.sign_in(ALICE))))
            exchange.give(type="http.request")
            await exchange.end()

    run(test)
    assert {name.partition("-")[0] for name in threads} == {"request"}
    assert len(threads) > 5


@pytest.mark.parametrize("path", ["/page", "/public/x", "/login"])
def test_attack_a_store_that_hangs_blocks_neither_the_loop_nor_a_request(
    make: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Twenty requests that wait for the database, more than there are threads: others are answered at once."""
    gate, app, free = make(SP_SESSION_CACHE="60"), Recorder(), threading.Event()
    monkeypatch.setattr("sp.gateway.asgi.STORE_SECONDS", 1.5)
    monkeypatch.setattr(asgi_answers, "START_SECONDS", 1.5)
    gateway, known = around(gate, app), cookie(gate.sign_in(ALICE))
    ask(gateway, scope("http", "/page", known))

    def hang(*_args: Any, **_more: Any) -> Any:
        free.wait(20)
        raise AssertionError("it hangs until the end")

    monkeypatch.setattr(gate.core.sessions, "_look_up", hang)
    monkeypatch.setattr(gateway._steps, "_own", hang)

    async def test() -> None:
        waiting = [Exchange(gateway, scope("http", path, cookie("A" * 43))) for _ in range(20)]
        for exchange in waiting:
            exchange.give(type="http.request")
        await asyncio.sleep(0)
        began = time.monotonic()
        assert (await Exchange(gateway, scope("http", "/page", known)).next())["status"] == 200
        assert time.monotonic() - began < 1.5  # so it did not wait until the others were given up
        statuses = [(await exchange.next())["status"] for exchange in waiting[-4:]]
        assert statuses == [503] * 4
        free.set()

    run(test)


def test_a_page_of_ours_reads_a_form_in_pieces_and_none_that_is_too_large(gate: Gate) -> None:
    gateway, form = around(gate, Recorder()), (b"content-type", b"application/x-www-form-urlencoded")
    for size, status in ((10, 400), (MAX_BODY, 400), (MAX_BODY + 1, 413), (40 * MAX_BODY, 413)):
        for length in ([], [(b"content-length", str(size + 6).encode())], [(b"transfer-encoding", b"chunked")]):

            async def test(size: int = size, status: int = status, length: Any = tuple(length)) -> None:
                asked = scope("http", "/sso/logout/backchannel", form, *length, method="POST")
                exchange = Exchange(gateway, asked)
                exchange.give(type="http.request", body=b"token=", more_body=True)
                for left in range(size - 6, 0, -16_384):
                    exchange.give(type="http.request", body=b"x" * min(left, 16_384), more_body=True)
                exchange.give(type="http.request", body=b"")
                assert (await exchange.next())["status"] == status
                exchange.task.cancel()

            run(test)


@pytest.mark.parametrize("body", [b"closed", b"too slow", b""])
def test_attack_no_body_is_taken_for_a_word_of_the_gateways_own(gate: Gate, body: bytes) -> None:
    asked = scope("http", "/sso/logout/backchannel", (b"content-type", b"text/plain"), method="POST")
    assert ask(around(gate, Recorder()), asked, body)[0] == 400


@pytest.mark.parametrize("messages", [[], [{"type": "http.request", "body": b"a", "more_body": True}]])
def test_a_client_that_goes_away_in_its_form_gets_no_page(gate: Gate, messages: list[Any]) -> None:
    async def test() -> None:
        exchange = Exchange(around(gate, Recorder()), scope("http", "/login", method="POST"))
        for message in [*messages, {"type": "http.disconnect"}]:
            exchange.give(**message)
        await exchange.end()
        assert exchange.sent.empty()

    run(test)


def test_attack_clients_that_do_not_read_occupy_no_thread_for_others(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clients than threads take no byte of their page; the next one still gets hers."""
    gateway = around(gate, Recorder())

    async def test() -> None:
        stuck = asyncio.Event()

        async def receive() -> Any:
            return {"type": "http.request"}

        async def never(_message: Any) -> None:
            await stuck.wait()

        slow = [asyncio.ensure_future(gateway(scope("http", "/login", HTML), receive, never)) for _ in range(40)]
        exchange = Exchange(gateway, scope("http", "/login", HTML))
        exchange.give(type="http.request")
        assert (await exchange.next())["status"] in (200, 303)
        stuck.set()
        for task in slow:
            task.cancel()

    run(test)


def test_a_slow_form_is_given_up(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_exchange, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(asgi_exchange, "LEAST_RATE", 1e9)

    async def test() -> None:
        exchange = Exchange(around(gate, Recorder()), scope("http", "/login", method="POST"))
        exchange.give(type="http.request", body=b"a", more_body=True)
        assert (await exchange.next())["status"] == 408

    run(test)


def test_a_person_signs_in_with_a_token_and_out_again_on_our_pages(make: Callable[..., Gate]) -> None:
    gate, key = make(way="asgi"), "k" * 48
    settings = {"default": True, "keys": [key], "login_url": f"http://{HOST}/idp", "unsolicited": "accept"}
    gate.core.provider_store.apply({"corporate": settings}, actor="test")
    now, form = int(time.time()), {"Content-Type": "application/x-www-form-urlencoded", **PAGE}
    token = mint({"iat": now, "exp": now + 60, "jti": "1", "email": ALICE.email, "name": ALICE.name}, key)
    landed = gate.ask("/sso/login/jwt", "POST", form, body=f"jwt={token}".encode())
    assert (landed.status, landed.header("Location")) == (303, "/")
    cookies = [value.partition(";")[0] for name, value in landed.headers if name == "set-cookie"]
    signed_in = {**PAGE, "Cookie": "; ".join(cookies)}
    assert gate.ask("/page", headers=signed_in).body == b"reached"
    question = gate.ask("/logout", headers=signed_in)
    csrf = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', question.text)
    form_cookie = next(value for name, value in question.headers if name == "set-cookie" and "sp_form" in value)
    assert csrf
    both = {**form, "Cookie": f"{signed_in['Cookie']}; {form_cookie.partition(';')[0]}", "Origin": f"http://{HOST}"}
    assert gate.ask("/logout", "POST", both, body=f"csrf_token={csrf[1]}".encode()).status in (200, 303)
    assert gate.ask("/page", headers=signed_in).status == 302


def test_names_that_strangers_invent_do_not_pile_up() -> None:
    for number in range(10_000):
        key_of(b"x-%d" % number)
        key_of(b"x-%d" % number + b"a" * 1000)
    from sp.gateway import asgi_scope

    assert len(asgi_scope._keys) <= asgi_scope.MAX_REMEMBERED
    assert max(map(len, asgi_scope._keys)) <= asgi_scope.MAX_REMEMBERED_LENGTH
    assert key_of(b"X-Forwarded-For") == "HTTP_X_FORWARDED_FOR"


def test_one_line_protects_an_application_of_other_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lychgate import AsgiGateway as Public

    monkeypatch.chdir(tmp_path)
    for name, value in (("INSTANCE", str(tmp_path)), ("SECRET_KEY", "x" * 48), ("EXTERNAL_URL", f"http://{HOST}")):
        monkeypatch.setenv(f"SP_{name}", value)
    app = Recorder()
    assert (
        ask(Public(app), scope("http", "/x", HTML))[1][b"location"]
        == f"http://{HOST}/sso/start?return_to=%2Fx".encode()
    )
    assert app.scopes == []
