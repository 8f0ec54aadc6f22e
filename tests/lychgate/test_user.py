"""`current_user` and `require_group`, with real requests of each framework."""

import dataclasses
import io
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from lab.programs import ROOT
from lychgate import User, current_user, require_group
from tests.support.loops import in_a_loop, in_a_thread

ALICE: dict[str, Any] = {
    "id": 7,
    "email": "alice@example.com",
    "name": "Alice Liddell",
    "given_name": "Alice",
    "family_name": "Liddell",
    "login": None,
    "groups": ["staff", "tea"],
    "attributes": {"department": "Tea"},
    "provider": "corporate",
    "session": "0123456789abcdef",
    "is_admin": False,
    "site": "wiki",
}


def environ(told: dict[str, Any] | None = ALICE, **more: Any) -> dict[str, Any]:
    """Return the environ that the WSGI gateway hands over."""
    from werkzeug.test import EnvironBuilder

    forged = [("Sso-User", "mallory"), ("Lychgate-User", "mallory")]
    made = dict(EnvironBuilder(path="/page", headers=forged).get_environ())
    return made | ({"sso.user": told} if told else {}) | more


def scope(told: dict[str, Any] | None = ALICE, kind: str = "http") -> dict[str, Any]:
    """Return the scope that the ASGI gateway hands over."""
    return {
        "type": kind,
        "method": "GET",
        "path": "/page",
        "query_string": b"",
        "headers": [(b"lychgate.user", b"mallory"), (b"sso.user", b"mallory")],
        "lychgate.user": told,
    }


def of_flask(told: Any) -> Any:
    from flask import Request

    return Request(environ(told))


def of_django(told: Any) -> Any:
    from django.core.handlers.wsgi import WSGIRequest

    from tests.support.django_settings import configure

    configure()
    return WSGIRequest(environ(told))


def of_django_asgi(told: Any) -> Any:
    from django.core.handlers.asgi import ASGIRequest

    from tests.support.django_settings import configure

    configure()
    return ASGIRequest(scope(told), io.BytesIO())


def of_starlette(told: Any) -> Any:
    from starlette.requests import Request

    return Request(scope(told))


def of_websocket(told: Any) -> Any:
    from starlette.requests import HTTPConnection

    return HTTPConnection(scope(told, "websocket"))


def of_a2wsgi(told: Any) -> Any:
    return {**scope(None), "wsgi_environ": environ(told)}


KINDS = [environ, scope, of_flask, of_django, of_django_asgi, of_starlette, of_websocket, of_a2wsgi]
each_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
Make = Callable[[Any], Any]


@each_kind
def test_a_request_of_any_framework_names_the_person(make: Make) -> None:
    user = current_user(make(ALICE))
    assert user is not None
    assert (user.id, user.email, user.name, user.given_name, user.family_name, user.login) == tuple(
        ALICE[name] for name in ("id", "email", "name", "given_name", "family_name", "login")
    )
    assert (user.groups, user.attributes, user.provider) == (("staff", "tea"), {"department": "Tea"}, "corporate")
    assert (user.session, user.is_admin, user.site) == ("0123456789abcdef", False, "wiki")


@each_kind
def test_without_the_gateways_word_nobody_is_signed_in(make: Make) -> None:
    assert current_user(make(None)) is None


@pytest.mark.parametrize("thing", [None, "alice@example.com", 7, {}, {"sso.user": ALICE}, {"lychgate.user": ALICE}])
def test_what_is_not_a_request_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="neither a request nor"):
        current_user(thing)


def test_attack_a_key_of_the_other_protocol_names_nobody() -> None:
    assert current_user(environ(None, **{"lychgate.user": ALICE})) is None
    assert current_user({**scope(None), "sso.user": ALICE}) is None


def test_a_user_cannot_be_changed() -> None:
    user = User.of(ALICE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        user.email = "mallory@example.com"  # type: ignore[misc]
    with pytest.raises(TypeError):
        user.attributes["department"] = "Mallory"  # type: ignore[index]
    assert user.is_in("auditors", "tea")
    assert not user.is_in("auditors")
    assert not user.is_in()


def test_a_user_is_what_flask_login_and_starlette_expect() -> None:
    user = User.of(ALICE)
    assert (user.is_authenticated, user.is_active, user.is_anonymous, user.get_id()) == (True, True, False, "7")
    assert (user.identity, user.display_name) == ("7", "Alice Liddell")
    assert User.of(ALICE | {"name": ""}).display_name == "alice@example.com"


def test_what_a_later_gateway_tells_in_addition_is_left_out() -> None:
    assert User.of(ALICE | {"moon_phase": "full"}) == User.of(ALICE)


def test_the_module_imports_no_framework() -> None:
    code = "import sys, lychgate.user, lychgate.groups; print([n for n in sys.argv[1:] if n in sys.modules])"
    names = ["flask", "django", "starlette", "fastapi", "werkzeug", "sqlalchemy", "sp"]
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BARRED = ALICE | {"groups": ["tea"]}
each_person = pytest.mark.parametrize(("told", "status"), [(ALICE, 200), (BARRED, 403), (None, 401)])


@each_person
@pytest.mark.parametrize("is_async", [False, True])
def test_a_view_of_flask_is_for_members(told: Any, status: int, is_async: bool) -> None:
    from flask import Flask

    app = Flask("test")

    @app.get("/page")
    @require_group("staff", "auditors")
    def page() -> str:
        return "members only"

    @app.get("/async")
    @require_group("staff")
    async def asynchronous() -> str:
        return "members only"

    answer = in_a_thread(
        app.test_client().get, "/async" if is_async else "/page", environ_overrides={"sso.user": told} if told else {}
    )
    assert (answer.status_code, "members only" in answer.text) == (status, status == 200)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@each_person
def test_a_view_of_django_is_for_members(told: Any, status: int) -> None:
    from django.core.exceptions import PermissionDenied
    from django.http import HttpRequest, HttpResponse

    @require_group("staff")
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"members only at {request.path}")

    class View:
        @require_group("staff")
        async def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(f"members only at {request.path}")

    def status_of(request: Any, ask: Callable[[Any], Any]) -> int:
        try:
            return int(ask(request).status_code)
        except PermissionDenied:  # Django answers 403 to it
            return 403

    for request in (of_django(told), of_django_asgi(told)):
        assert status_of(request, page) == status
        assert status_of(request, lambda request: in_a_loop(View().get(request))) == status


@each_person
def test_a_route_of_starlette_is_for_members(told: Any, status: int) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    @require_group("staff")
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"members only at {request.url.path}")

    assert ask_asgi(Starlette(routes=[Route("/page", page)]), told) == (status, status == 401)


@each_person
def test_a_dependency_of_fastapi_is_for_members(told: Any, status: int) -> None:
    from fastapi import Depends, FastAPI

    app = FastAPI()

    @app.get("/page")
    def page(user: Annotated[User, Depends(require_group("staff"))]) -> str:
        return f"members only, {user.name}"

    assert ask_asgi(app, told) == (status, status == 401)


def ask_asgi(app: Any, told: Any) -> tuple[int, bool]:
    """Return the status of an answer, and whether it has a challenge."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    in_a_loop(app({**scope(told), "app": None, "server": ("127.0.0.1", 80), "scheme": "http"}, receive, send))
    return sent[0]["status"], b"www-authenticate" in dict(sent[0]["headers"])


@pytest.mark.parametrize("groups", [(), ("",), (["staff"],)])
def test_a_group_must_be_named(groups: Any) -> None:
    with pytest.raises(ValueError, match="names of groups"):
        require_group(*groups)


def test_a_view_without_a_request_is_refused() -> None:
    with pytest.raises(TypeError, match="no request"):
        require_group("staff")(lambda: "members only")()
