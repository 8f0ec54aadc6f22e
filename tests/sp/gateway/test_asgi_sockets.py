"""WebSockets: who may open one, and when an open one is closed."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.cast import ALICE, BOB, CAROL
from shared.errors import StoreUnavailable
from sp.gateway import asgi_sockets
from sp.gateway.asgi import LOOK_UPS
from sp.metrics_counters import ASGI, counters
from sp.policy.decision import Rule
from sp.sessions.store import SessionStore, hash_id
from sp.sites.in_force import InForce
from tests.sp.gateway.asgi_client import SECONDS, Exchange, Recorder, around, cookie, origin, run, scope
from tests.sp.gateway.gate import HOST, Gate

DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
Line = tuple[bytes, bytes]


async def talk(_scope: Any, receive: Any, send: Any) -> None:
    """Accept, and send back what comes, until the end."""
    await send({"type": "websocket.accept", "headers": [(b"x-first", b"1")]})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


async def opened(gate: Gate, secret: str, path: str = "/page") -> Exchange:
    """Return a WebSocket that has been accepted."""
    exchange = Exchange(around(gate, talk), scope("websocket", path, cookie(secret), origin()))
    exchange.give(type="websocket.connect")
    assert (await exchange.next())["type"] == "websocket.accept"
    return exchange


ALICES, CAROLS, NOBODYS = "alice", "carol", ""


@pytest.mark.parametrize(
    ("path", "who", "lines", "status"),
    [
        ("/page", ALICES, [origin()], 200),
        ("/page", ALICES, [origin("http://evil.example")], 403),
        ("/page", ALICES, [origin("null")], 403),
        ("/page", ALICES, [origin(f"http://{HOST}.evil.example")], 403),
        ("/page", ALICES, [origin(f"https://{HOST}")], 403),
        ("/page", ALICES, [origin("http://127.0.0.1")], 403),
        ("/page", ALICES, [origin(), origin("http://evil.example")], 403),
        ("/page", ALICES, [], 403),  # a browser always names its page
        ("/public/x", ALICES, [origin("http://evil.example")], 403),
        ("/page", NOBODYS, [origin()], 403),
        ("/page", NOBODYS, [], 403),
        ("/public/x", NOBODYS, [origin()], 200),
        ("/admin/x", ALICES, [origin()], 403),
        ("/admin/x", CAROLS, [origin()], 200),
        ("/a//b", CAROLS, [origin()], 400),
        ("/page", ALICES, [origin(), (b"host", b"evil.example")], 400),
        ("/login", ALICES, [origin()], 403),
        ("/sso/auth/forward", ALICES, [origin()], 403),
        ("/settings/activity/live", ALICES, [origin()], 403),
    ],
)
def test_a_websocket_is_accepted_for_pages_of_ours_and_people_who_may(
    gate: Gate, path: str, who: str, lines: list[Line], status: int
) -> None:
    people = {ALICES: ALICE, CAROLS: CAROL}
    cookies = [cookie(gate.sign_in(people[who]))] if who else []

    async def test() -> None:
        for more in ({}, DENIAL):
            app = Recorder()
            exchange = Exchange(around(gate, app), scope("websocket", path, *cookies, *lines, **more))
            exchange.give(type="websocket.connect")
            first = await exchange.next()
            await exchange.end()
            if status == 200:
                assert first["type"] == "websocket.accept"
                assert (app.last["lychgate.user"] or {}).get("email") == (people[who].email if who else None)
                continue
            assert app.scopes == []
            if more and first["type"] == "websocket.http.response.start":
                assert first["status"] == status
                assert b"www-authenticate" not in dict(first["headers"])
            else:  # to which servers answer 403
                assert first == {"type": "websocket.close", "code": 1008}

    run(test)


@pytest.mark.parametrize("lines", [[], [origin("http://evil.example")]])
def test_a_client_that_is_no_browser_opens_one_with_its_access_token(gate: Gate, lines: list[Line]) -> None:
    app, token = Recorder(), gate.sign_in(ALICE, kind="api").encode()

    async def test() -> None:
        for given, is_good in ((token, True), (b"A" * 43, False)):
            bearer = (b"authorization", b"Bearer " + given)
            exchange = Exchange(around(gate, app), scope("websocket", "/page", bearer, *lines))
            assert ((await exchange.next())["type"] == "websocket.accept") is is_good

    run(test)
    assert token.decode() not in repr(app.scopes)


def test_no_cookie_of_ours_is_set_or_seen(gate: Gate) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert (b"cookie", b"theme=dark") in scope["headers"]
        headers = [(b"set-cookie", b"mine=1"), (b"Set-Cookie", b"sp_session=x"), (b"set-cookie", b"__Host-sp_form=x")]
        await send({"type": "websocket.accept", "subprotocol": "chat", "headers": headers})

    async def test() -> None:
        asked = scope("websocket", "/page", cookie(gate.sign_in(ALICE)), origin())
        accepted = await Exchange(around(gate, app), asked).next()
        assert accepted["subprotocol"] == "chat"
        assert [value for name, value in accepted["headers"] if name.lower() == b"set-cookie"] == [b"mine=1"]

    run(test)


@pytest.mark.parametrize("cache", ["0", "1"])
@pytest.mark.parametrize(
    "end",
    [
        lambda gate, _secret: gate.core.sessions.end(account_id=gate.person(ALICE)),
        lambda gate, _secret: gate.person(ALICE, is_active=False),
        lambda gate, _secret: gate.core.people.disable(gate.person(ALICE)),
    ],
    ids=["sign-out", "disabled elsewhere", "disabled here"],
)
def test_an_open_socket_is_closed_when_its_session_ends(
    make: Callable[..., Gate], cache: str, end: Callable[[Gate, str], Any]
) -> None:
    gate = make(SP_SESSION_CACHE=cache)
    secret, others = gate.sign_in(ALICE), gate.sign_in(CAROL)

    async def test() -> None:
        mine, hers = await opened(gate, secret), await opened(gate, others)
        mine.give(type="websocket.receive", text="hello")
        assert (await mine.next())["text"] == "hello"
        await asyncio.to_thread(end, gate, secret)
        ended = time.monotonic()
        assert await mine.next() == {"type": "websocket.close", "code": 4401, "reason": "the session has ended"}
        assert time.monotonic() - ended < int(cache) + 4  # on a machine with much else to do
        mine.give(type="websocket.receive", text="after the end")
        await mine.end()  # the application is told that it is over
        assert mine.sent.empty()
        hers.give(type="websocket.receive", text="still here")
        assert (await hers.next())["text"] == "still here"
        hers.task.cancel()

    run(test)


def test_an_open_socket_is_closed_when_the_person_may_not_use_it_any_more(gate: Gate) -> None:
    secret = gate.sign_in(CAROL)

    async def test() -> None:
        exchange = await opened(gate, secret, "/admin/x")
        await asyncio.to_thread(gate.person, CAROL, groups=[])
        assert await exchange.next() == {"type": "websocket.close", "code": 1008, "reason": "access denied"}
        exchange.task.cancel()

    run(test)


def test_attack_a_visitor_stays_on_a_path_that_a_changed_file_closes(gate: Gate) -> None:
    """A socket of the same visitor on another path stays open."""
    rules, book = (Rule("/public/"), Rule("/exact", allow="anyone")), gate.core.rulebook

    async def test() -> None:
        gateway = around(gate, talk)
        closing, staying = (Exchange(gateway, scope("websocket", path, origin())) for path in ("/public/x", "/exact"))
        for exchange in (closing, staying):
            assert (await exchange.next())["type"] == "websocket.accept"
        book.current = InForce.of([replace(book.current.home, rules=rules)], gate.core.config.host)
        assert await closing.next() == {"type": "websocket.close", "code": 1008, "reason": "access denied"}
        await closing.end()
        staying.give(type="websocket.receive", text="still here")
        assert (await staying.next())["text"] == "still here"
        staying.task.cancel()

    run(test)


@pytest.mark.parametrize("failure", [StoreUnavailable("it is down"), RuntimeError("what nobody thought of"), None])
def test_attack_a_database_that_does_not_answer_keeps_no_socket_open(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    secret, free = gate.sign_in(ALICE), threading.Event()
    real: Any = SessionStore.find_by_hash

    def find(*args: Any, is_use: bool = True, **more: Any) -> Any:
        if failure is None:
            free.wait(20)
            return real(*args, is_use=is_use, **more)
        raise failure

    async def test() -> None:
        exchange = await opened(gate, secret)
        monkeypatch.setattr(gate.core.sessions, "find_by_hash", find)
        began = time.monotonic()
        assert (await exchange.next())["code"] == 1013
        assert time.monotonic() - began < 3  # 0.6 on a quiet machine; the database answers after 20
        free.set()
        exchange.task.cancel()

    run(test)


def test_attack_a_flood_of_made_up_cookies_closes_no_socket_of_others(
    make: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that wait for the database occupy every thread that looks sessions up."""
    gate, free, checked = make(SP_SESSION_CACHE="0"), threading.Event(), asyncio.Event()
    secret = gate.sign_in(ALICE)
    real: Any = gate.core.sessions.find_by_hash

    async def test() -> None:
        loop, gateway = asyncio.get_running_loop(), around(gate, talk)
        exchange = Exchange(gateway, scope("websocket", "/page", cookie(secret), origin()))
        assert (await exchange.next())["type"] == "websocket.accept"

        def find(id_hash: bytes, *args: Any, **more: Any) -> Any:
            if id_hash != hash_id(secret):
                free.wait(20)
            found = real(id_hash, *args, **more)
            if id_hash == hash_id(secret):
                loop.call_soon_threadsafe(checked.set)
            return found

        monkeypatch.setattr(gate.core.sessions, "find_by_hash", find)
        flood = [Exchange(gateway, scope("http", "/page", cookie("A" * 43))) for _ in range(LOOK_UPS)]
        checked.clear()
        closed = asyncio.ensure_future(exchange.next())
        checks = asyncio.ensure_future(checked.wait())
        await asyncio.wait({closed, checks}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert checked.is_set()
        assert not closed.done()
        free.set()
        for task in (closed, exchange.task, *(request.task for request in flood)):
            task.cancel()

    run(test)


def test_a_message_of_the_client_is_a_use_of_the_session_and_silence_is_none(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses: list[bool] = []
    secret = gate.sign_in(ALICE)
    real: Any = gate.core.sessions.find_by_hash

    def find(*args: Any, is_use: bool = True, **more: Any) -> Any:
        uses.append(is_use)
        return real(*args, is_use=is_use, **more)

    async def wait_for(count: int) -> None:
        while len(uses) < count:
            await asyncio.sleep(0.01)

    async def test() -> None:
        exchange = await opened(gate, secret)
        monkeypatch.setattr(gate.core.sessions, "find_by_hash", find)
        await wait_for(1)
        exchange.give(type="websocket.receive", text="hello")
        await exchange.next()
        await wait_for(3)
        exchange.task.cancel()

    run(test)
    assert uses[:3] == [False, True, False]


def test_an_application_that_goes_on_sending_is_stopped(gate: Gate) -> None:
    secret, stopped = gate.sign_in(ALICE), asyncio.Event()

    async def stream(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.01)
        except OSError:  # as servers raise it when a client has gone
            stopped.set()

    async def test() -> None:
        exchange = Exchange(around(gate, stream), scope("websocket", "/page", cookie(secret), origin()))
        await exchange.next()
        await asyncio.to_thread(gate.core.sessions.end, account_id=gate.person(ALICE))
        while (message := await exchange.next())["type"] == "websocket.send":
            pass
        assert message["code"] == 4401
        await exchange.end()

    run(test)
    assert stopped.is_set()


def test_a_socket_that_was_closed_is_watched_no_longer(gate: Gate) -> None:
    secret = gate.sign_in(ALICE)

    async def test() -> None:
        exchange = await opened(gate, secret)
        exchange.give(type="websocket.disconnect", code=1001)
        await exchange.end()
        queries = gate.queries
        await asyncio.sleep(2 * asgi_sockets.SHORTEST)
        assert gate.queries == queries
        assert len(asyncio.all_tasks()) <= 2  # of the test itself

    run(test)


def test_a_disabled_person_opens_none_and_decisions_are_counted(gate: Gate) -> None:
    secret = gate.sign_in(BOB)
    gate.person(BOB, is_active=False)
    before = counters.totals()["decision", ASGI, "sign in"]

    async def test() -> None:
        exchange = Exchange(around(gate, talk), scope("websocket", "/page", cookie(secret), origin()))
        assert (await exchange.next())["type"] == "websocket.close"

    run(test)
    assert counters.totals()["decision", ASGI, "sign in"] == before + 1
