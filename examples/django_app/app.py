"""A Django application in one file, protected in process: one line at the end does it.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.django_app.app:application

The settings are those of the gateway (docs/deploying.md). An application with its own accounts adds Django's
RemoteUserMiddleware and RemoteUserBackend instead of reading the key itself: REMOTE_USER is set as well.
"""

import secrets

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.utils.html import format_html

from lychgate import Gateway

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(48),  # this application does not use it; one that does needs a permanent key
    ALLOWED_HOSTS=["*"],  # the gateway has refused foreign names already
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)


def page(request: HttpRequest) -> HttpResponse:
    """Say who is there. request.META is the WSGI environ; only the gateway can write the key "sso.user"."""
    person = request.META.get("sso.user")
    if person is None:  # only where a rule says `allow = "anyone"`
        return HttpResponse("<!doctype html><title>Django</title><h1>Django</h1><p>Nobody is signed in.</p>")
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
