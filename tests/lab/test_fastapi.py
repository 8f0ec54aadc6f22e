"""`lychgate.app` with a real FastAPI application: its lifespan and dependencies, behind the gateway of the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest

from lab.in_process.lychgate import Lychgate
from lychgate import User, current_user, require_group

pytest.importorskip("fastapi", reason="no FastAPI; requirements-dev.txt brings it")

from fastapi import Depends, FastAPI, Request

HTML = {"Accept": "text/html"}


def application() -> FastAPI:
    """Return an application with a page for everybody and one for the staff."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"shop": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    def page(request: Request) -> dict[str, Any]:
        user = current_user(request)
        return {"email": user.email if user else None, "shop": request.state.shop}

    @app.post("/orders")
    async def order(request: Request, user: Annotated[User, Depends(require_group("staff"))]) -> dict[str, Any]:
        return {"by": user.name, "order": await request.json()}

    return app


def test_a_fastapi_application_sees_the_person_who_is_signed_in(lychgate: Lychgate) -> None:
    staff = lychgate.add_person("erin@example.com", given_name="Erin", family_name="Brown", groups=["staff"])
    lychgate.app(application())
    with httpx.Client(trust_env=False, base_url=lychgate.sp_url, timeout=30) as client:
        assert client.get("/", headers=HTML).status_code == 302
        lychgate.sign_in(client)
        assert client.get("/").json() == {"email": lychgate.alice.email, "shop": "open"}
    with httpx.Client(trust_env=False, base_url=lychgate.sp_url, timeout=30) as client:
        lychgate.sign_in(client, staff)
        assert client.post("/orders", json={"tea": 2}).json() == {"by": "Erin Brown", "order": {"tea": 2}}


def test_who_is_not_in_the_group_is_denied_by_the_application(lychgate: Lychgate) -> None:
    lychgate.app(application())
    mallory = lychgate.add_person("mallory@example.com", groups=["guests"])
    with httpx.Client(trust_env=False, base_url=lychgate.sp_url, timeout=30) as client:
        lychgate.sign_in(client, mallory, fast=True)
        assert client.post("/orders", json={}).status_code == 403
