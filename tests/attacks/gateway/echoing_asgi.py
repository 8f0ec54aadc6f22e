"""An ASGI application behind the gateway that sends back what comes: bodies, events, messages of WebSockets."""

from pathlib import Path
from typing import Any

from sp.gateway import AsgiGateway


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer each kind of request."""
    if scope["type"] == "websocket":
        await converse(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/public/events":
        await stream(receive, send)
    elif scope["type"] == "http":
        await count(receive, send)
    else:
        while (event := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{event}.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def converse(receive: Any, send: Any) -> None:
    """Send back each message, and note the end."""
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    Path("socket-ended").write_text("the application was told")


async def stream(receive: Any, send: Any) -> None:
    """Send one event, and wait for the client to go."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    Path("client-gone").write_text("the application was told")


async def count(receive: Any, send: Any) -> None:
    """Answer with the length of the body."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    body = b"%d bytes" % length
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = AsgiGateway(echo)
