"""A Django application with its own accounts and groups, which follow those of the gateway.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.django_accounts.app:application

Django's RemoteUserMiddleware and RemoteUserBackend make an account at a person's first visit. Here they also copy name,
e-mail address and groups at the start of each session of the gateway, when the identity provider has just sent these.
So `request.user.groups`, permissions and the admin site work as in any Django project. With ASGI, put `AsgiGateway`
around `get_asgi_application()`; everything else stays the same.
"""

import secrets
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(48),  # a real project needs a permanent one
    ALLOWED_HOSTS=["*"],  # the gateway has already rejected foreign names
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "django.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        f"{__name__}.GatewayMiddleware",
    ],
    AUTHENTICATION_BACKENDS=[f"{__name__}.GatewayBackend"],
)
django.setup()

from django.contrib import auth  # noqa: E402  imports of models and views need the settings
from django.contrib.auth.backends import RemoteUserBackend  # noqa: E402
from django.contrib.auth.middleware import RemoteUserMiddleware  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.utils.html import format_html  # noqa: E402

from lychgate import Gateway, current_user, require_group  # noqa: E402

SESSION = "lychgate_session"


class GatewayMiddleware(RemoteUserMiddleware):
    """Signs the gateway's current user in to Django, again for each new session of the gateway."""

    def process_request(self, request: HttpRequest) -> None:
        """Begin a new Django session for a new session of the gateway. If the gateway reports no person, sign out."""
        person = current_user(request)
        if person is None:
            request.META.pop(self.header, None)
        else:
            request.META[self.header] = str(person.id)  # the name of the account, because an e-mail address may change
            if request.session.get(SESSION) != person.session:
                auth.logout(request)
        super().process_request(request)
        if person is not None:
            request.session[SESSION] = person.session


class GatewayBackend(RemoteUserBackend):
    """Copies the gateway's data about a person to the account."""

    def configure_user(self, request: HttpRequest, user: Any, created: bool = True) -> Any:
        """Set name, e-mail address and groups. A group that Django does not have is created, without permissions."""
        person = current_user(request)
        if person is not None:
            user.email, user.first_name, user.last_name = (
                person.email,
                person.given_name or "",
                person.family_name or "",
            )
            user.save()
            user.groups.set([Group.objects.get_or_create(name=name)[0] for name in person.groups])
        return user


@require_group("staff")
def staff(request: HttpRequest) -> JsonResponse:
    """Greet the members of one group; everyone else gets 403."""
    return JsonResponse({"email": request.user.email, "groups": [group.name for group in request.user.groups.all()]})


def page(request: HttpRequest) -> HttpResponse:
    """Show who is signed in."""
    if not request.user.is_authenticated:  # only if a rule has `allow = "anyone"`
        return HttpResponse("<!doctype html><title>Django</title><h1>Django</h1><p>You are not signed in.</p>")
    return HttpResponse(
        format_html(
            "<!doctype html><title>Django</title><h1>Django</h1><p>You are <b>{}</b>.</p><p>Groups: {}. "
            '<a href="/account">Your account</a> <a href="/logout">Sign out</a></p>',
            request.user.email,
            ", ".join(group.name for group in request.user.groups.order_by("name")) or "none",
        )
    )


urlpatterns = [path("staff", staff), re_path("", page)]

call_command("migrate", verbosity=0)
application = Gateway(get_wsgi_application())
