"""A FastAPI application that the gateway protects in the same process: the last line of this file adds the gateway.

    SP_CONFIG=gateway.toml uvicorn --no-proxy-headers examples.fastapi_app.app:application

Configure it with the settings of the gateway (docs/deploying.md). uvicorn is configured to trust no proxy, because the
gateway decides which proxies to trust.
"""

from html import escape
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import HTMLResponse

from lychgate import AsgiGateway, User, current_user, require_group

app = FastAPI(title="FastAPI behind Lychgate")


def visitor(connection: HTTPConnection) -> User | None:
    """Return the signed-in person. The result is None only for paths that have a rule with `allow = "anyone"`."""
    return current_user(connection)


Visitor = Annotated[User | None, Depends(visitor)]
Staff = Annotated[User, Depends(require_group("staff"))]


@app.get("/staff")
def staff(user: Staff) -> dict[str, object]:
    """Greet the members of one group; everyone else gets 403."""
    return {"id": user.id, "email": user.email, "groups": user.groups, "department": user.attributes.get("department")}


@app.websocket("/echo")
async def echo(socket: WebSocket, user: Visitor) -> None:
    """Send each message back. The gateway closes the socket when the session ends."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{user.email if user else 'nobody'}: {text}")


@app.get("/{path:path}")
def page(path: str, user: Visitor) -> HTMLResponse:
    """Show who is signed in."""
    if user is None:
        return HTMLResponse("<!doctype html><title>FastAPI</title><h1>FastAPI</h1><p>You are not signed in.</p>")
    groups = ", ".join(user.groups) or "none"
    return HTMLResponse(
        f"<!doctype html><title>FastAPI</title><h1>FastAPI</h1><p>You are <b>{escape(user.email)}</b>.</p>"
        f"<p>Groups: {escape(groups)}. You asked for /{escape(path)}. "
        '<a href="/account">Your account</a> <a href="/logout">Sign out</a></p>'
    )


application = AsgiGateway(app)
