"""Decide which of the gateway's own pages a further site answers, and where its links lead.

Sign-in, settings and accounts belong to home, so a further site answers only the URLs listed here. It redirects GET and
HEAD requests for other pages of the gateway to home, and answers all other requests with 404.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Flask, redirect, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.current import current_request
from sp.current import SITE, components, current_site
from sp.routes import HOME

AT_SITES = frozenset(
    (
        "sso.start",
        "sites.land",
        "sign_out.ask",
        "sign_out.end",
        "refusals.error",
        "denied.denied",
        "jwks.jwks",
        "health.alive",
        "health.ready",
        "metrics.metrics",
        "ui.static",
        "ui.bootstrap_css",
        "ui.theme",
        "ui.logo",
        "ui.colours",
    )
)
_IN_PATH = "/:@!$&'()*+,;=~-._"


def install_site_pages(app: Flask) -> None:
    """Let further sites answer only the listed URLs, and give templates the links."""
    app.before_request(_only_what_is_listed)
    app.jinja_env.globals.update(sign_in_url=sign_in_url, password_url=password_url, account_url=account_url)
    app.jinja_env.globals["site_url"] = site_url


def _only_what_is_listed() -> ResponseReturnValue | None:
    request = current_request()
    name = request.environ.get(SITE, HOME)
    if name == HOME or request.endpoint in AT_SITES:
        return None
    if request.method not in ("GET", "HEAD") or components().rulebook.current.named(name) is None:
        raise NotFound
    path = quote(request.environ.get("SCRIPT_NAME", "") + request.path, safe=_IN_PATH)
    query = request.query_string.decode("latin-1")
    return redirect(f"{_home_url()}{path}{'?' if query else ''}{query}", 303)


def sign_in_url() -> str:
    """Return where a person can start to sign in to the site of this request."""
    return url_for("signin.login") if current_site().is_home else url_for("sso.start", return_to="/")


def password_url() -> str:
    """Return the page with the form for a local password. It leads back to the site of this request."""
    site = current_site()
    if site.is_home:
        return url_for("signin.login", no_sso="")
    return f"{_home_url()}{url_for('signin.login', no_sso='', return_to=f'{site.url}/')}"


def account_url() -> str:
    """Return the account page, which is at home."""
    path = url_for("account.show")
    return path if current_site().is_home else f"{_home_url()}{path}"


def site_url(name: str) -> str:
    """Return the URL of the site called *name*; empty if it is not configured any more."""
    site = components().rulebook.current.named(name)
    return site.url if site is not None else ""


def _home_url() -> str:
    return components().rulebook.current.home.url
