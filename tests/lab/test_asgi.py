"""ASGI applications behind the gateway, in a test's process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from lab.in_process.asgi import AsgiApplication
from lab.in_process.lychgate import Lychgate

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """Notes its startup and shutdown, and answers with what it was asked."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        body = (await receive())["body"]
        await asyncio.sleep(0)
        told = {name: scope[name] for name in ("method", "path", "lychgate.user")}
        told |= {"query": scope["query_string"].decode(), "body": body.decode(), "loop": scope["state"]["loop"]}
        told["same loop"] = id(asyncio.get_running_loop()) == scope["state"]["loop"]
        text = json.dumps(told, default=str).encode()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": text[:5], "more_body": True})
        await send({"type": "http.response.body", "body": text[5:]})

    async def _lifespan(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        for _ in range(2):
            event = (await receive())["type"]
            self.events.append(event)
            scope["state"]["loop"] = id(asyncio.get_running_loop())
            await send({"type": f"{event}.complete"})


async def without_lifespan(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def ignores_lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await without_lifespan(scope, receive, send)


async def cannot_start(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "there is no database"})


@pytest.fixture
def client(lychgate: Lychgate) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, base_url=lychgate.sp_url) as made:
        lychgate.sign_in(made, fast=True)
        yield made


def test_it_is_asked_with_the_person_and_the_body(lychgate: Lychgate, client: httpx.Client) -> None:
    application = Application()
    lychgate.app(application)
    answer = client.post("/caf%C3%A9?a=b", content=b"hello", headers={"Remote-User": "mallory@example.com"})
    told = answer.json()
    assert (answer.status_code, told["method"], told["path"]) == (201, "POST", "/café")
    assert (told["query"], told["body"]) == ("a=b", "hello")
    assert told["lychgate.user"]["email"] == lychgate.alice.email
    assert told["same loop"]


def test_it_starts_before_the_first_request_and_shuts_down_at_the_end(lychgate: Lychgate) -> None:
    application = Application()
    lychgate.app(application)
    assert application.events == ["lifespan.startup"]
    lychgate.reset()
    assert application.events == ["lifespan.startup", "lifespan.shutdown"]


def test_a_signed_out_visitor_does_not_reach_it(lychgate: Lychgate) -> None:
    lychgate.app(Application())
    assert httpx.get(lychgate.sp_url, headers={"Accept": "text/html"}, trust_env=False).status_code == 302


@pytest.mark.parametrize("application", [without_lifespan, ignores_lifespan])
def test_it_needs_no_lifespan(lychgate: Lychgate, client: httpx.Client, application: Any) -> None:
    lychgate.app(application)
    assert client.get("/").status_code == 204


def test_a_failed_startup_fails_the_test() -> None:
    with pytest.raises(RuntimeError, match="there is no database"):
        AsgiApplication(cannot_start)
