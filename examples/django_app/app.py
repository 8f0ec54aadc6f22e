"""A Django application in one file, with the gateway in the same process: the last line adds the gateway.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.django_app.app:application

Configure it with the settings of the gateway (docs/deploying.md). This example reads the key "sso.user". The gateway
also sets REMOTE_USER. So an application with its own accounts does not need to read the key: it adds Django's
RemoteUserMiddleware and RemoteUserBackend.
"""

import secrets

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.utils.html import format_html

from lychgate import Gateway

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(48),  # not used here; an application that uses it needs a permanent key
    ALLOWED_HOSTS=["*"],  # the gateway has already rejected foreign names
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)


def page(request: HttpRequest) -> HttpResponse:
    """Show who is signed in. request.META is the WSGI environ; only the gateway can write the key "sso.user"."""
    person = request.META.get("sso.user")
    if person is None:  # only if a rule has `allow = "anyone"`
        return HttpResponse("<!doctype html><title>Django</title><h1>Django</h1><p>You are not signed in.</p>")
    return HttpResponse(
        format_html(
            "<!doctype html><title>Django</title><h1>Django</h1><p>You are <b>{}</b>.</p>"
            '<p>Groups: {}. You asked for {}. <a href="/logout">Sign out</a></p>',
            person["email"],
            ", ".join(person["groups"]) or "none",
            request.path,
        )
    )


urlpatterns = [re_path("", page)]

application = Gateway(get_wsgi_application())
