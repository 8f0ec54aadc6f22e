"""`lychgate.app` with a real Django application: its own settings, its own URLs, behind the gateway of the test."""

from __future__ import annotations

import httpx
import pytest

from lab.in_process.lychgate import Lychgate
from tests.support.django_settings import with_urls

pytest.importorskip("django", reason="no Django; requirements-dev.txt brings it")


def test_a_django_application_sees_the_person_who_is_signed_in(lychgate: Lychgate) -> None:
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def who(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.META['REMOTE_USER']} at {request.path}", content_type="text/plain")

    with with_urls(path("shop/", who)):
        lychgate.app(get_wsgi_application())
        with httpx.Client(trust_env=False, headers={"Accept": "text/html"}, timeout=30) as client:
            assert client.get(f"{lychgate.sp_url}/shop/").status_code == 302
            lychgate.sign_in(client, path="/shop/")
            assert client.get(f"{lychgate.sp_url}/shop/").text == f"{lychgate.alice.email} at /shop/"
