"""`lychgate.app` with a real Django application: its own settings, its own URLs, behind the gateway of the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest

from lab.in_process.lychgate import Lychgate

django = pytest.importorskip("django", reason="no Django; requirements-dev.txt brings it")


def application() -> Callable[..., Any]:
    """Return a Django application with one page, which says who is signed in."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def who(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.META['REMOTE_USER']} at {request.path}", content_type="text/plain")

    if not settings.configured:
        settings.configure(
            SECRET_KEY="of this test alone", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=(path("shop/", who),)
        )
    return cast(Callable[..., Any], get_wsgi_application())


def test_a_django_application_sees_the_person_who_is_signed_in(lychgate: Lychgate) -> None:
    lychgate.app(application())
    with httpx.Client(trust_env=False, headers={"Accept": "text/html"}, timeout=30) as client:
        assert client.get(f"{lychgate.sp_url}/shop/").status_code == 302
        lychgate.sign_in(client, path="/shop/")
        assert client.get(f"{lychgate.sp_url}/shop/").text == f"{lychgate.alice.email} at /shop/"
