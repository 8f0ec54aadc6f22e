"""A Starlette application in which AuthenticationMiddleware gives the gateway's user to `request.user` and `@requires`.

    SP_CONFIG=gateway.toml uvicorn --no-proxy-headers examples.starlette_app.app:application

The gateway's `User` has the members that Starlette expects. Each group is a scope, in addition to "authenticated".
"""

from html import escape

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from lychgate import AsgiGateway, User, current_user


class OfTheGateway(AuthenticationBackend):
    """Takes the person from the gateway, which has already checked the session."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, User] | None:  # type: ignore[override]
        """Return the person and the scopes, or None for a visitor who is not signed in (only on public paths)."""
        user = current_user(conn)
        return None if user is None else (AuthCredentials(["authenticated", *user.groups]), user)


@requires("staff", status_code=403)
async def staff(request: Request) -> JSONResponse:
    """Greet the members of one group."""
    return JSONResponse({"id": request.user.identity, "email": request.user.email})


async def page(request: Request) -> HTMLResponse:
    """Show who is signed in."""
    if not request.user.is_authenticated:
        return HTMLResponse("<!doctype html><title>Starlette</title><h1>Starlette</h1><p>You are not signed in.</p>")
    return HTMLResponse(
        f"<!doctype html><title>Starlette</title><h1>Starlette</h1><p>You are <b>{escape(request.user.email)}</b>, "
        f"called {escape(request.user.display_name)}.</p>"
        '<p><a href="/account">Your account</a> <a href="/logout">Sign out</a></p>'
    )


app = Starlette(
    routes=[Route("/staff", staff), Route("/{path:path}", page)],
    middleware=[Middleware(AuthenticationMiddleware, backend=OfTheGateway())],
)

application = AsgiGateway(app)
