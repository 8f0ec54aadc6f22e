"""Forward the server's lifespan to the applications behind the gateway.

If there is only one application, it gets the server's lifespan unchanged. If there are several, each gets a separate
lifespan, because each has its own state. When all applications have started, the server is told so. An application that
does not support lifespan raises an exception, which the ASGI specification allows ("Lifespan Protocol").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sp.gateway.asgi import AsgiApplication
    from sp.gateway.asgi_exchange import Message, Receive, Send
    from sp.gateway.asgi_scope import Scope

log = logging.getLogger("lychgate")


class Lifespans:
    """The lifespans of *app*, the application of the site at home, and of further sites' applications by site name."""

    def __init__(self, app: AsgiApplication, of_sites: Mapping[str, AsgiApplication]) -> None:
        self._app, self._of_sites = app, of_sites
        self._states: dict[str, dict[str, Any]] = {name: {} for name in of_sites}

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the applications, and let them shut down at the end."""
        if not self._of_sites:
            return await self._app(scope, receive, send)
        members = [_Member(self._app, scope)]
        members += [_Member(app, {**scope, "state": self._states[name]}) for name, app in self._of_sites.items()]
        while True:
            event = (await receive())["type"]
            failed = [
                why for why in await asyncio.gather(*(member.tell(event) for member in members)) if why is not None
            ]
            if failed:
                await asyncio.gather(*(member.tell("lifespan.shutdown") for member in members))
                return await send({"type": f"{event}.failed", "message": "; ".join(failed)})
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return None

    def give_state(self, scope: MutableMapping[str, Any], site: str) -> None:
        """Put the state of a further *site*'s application into the *scope* of a request, as a server does."""
        if site in self._states and "state" in scope:
            scope["state"] = dict(self._states[site])


class _Member:
    """One application and its lifespan."""

    def __init__(self, app: AsgiApplication, scope: Scope) -> None:
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._live(app, scope))

    async def tell(self, event: str) -> str | None:
        """Send *event* to the application, and wait for its answer.

        Return the reason if the application reports a failure. Otherwise, or if it raises an exception, return None.
        """
        if self._task.done() and self._said.empty():
            return None
        await self._asked.put({"type": event})
        said = await self._said.get()
        return said.get("message", "failed") if said and said["type"] == f"{event}.failed" else None

    async def _live(self, app: AsgiApplication, scope: Scope) -> None:
        try:
            await app(scope, self._asked.get, self._said.put)
        except Exception as error:
            log.info("an application has no lifespan, or ended it: %r", error)
        await self._said.put(None)  # so that the waiting task continues
