"""List the gateway's cookies. Set and read the session cookie. If there are two with different values, reject both."""

from __future__ import annotations

import re

import flask
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.wrappers import Response

from shared.cookies import HOST_PREFIX, clear_cookie, full_name, set_cookie
from sp.sessions.cookie_names import DEVICE_NAME as DEVICE_NAME
from sp.sessions.cookie_names import FORM_NAME as FORM_NAME
from sp.sessions.cookie_names import HAND_OVER_PREFIX as HAND_OVER_PREFIX
from sp.sessions.cookie_names import LANDED_NAME as LANDED_NAME
from sp.sessions.cookie_names import NAME as NAME
from sp.sessions.cookie_names import PENDING_PREFIX as PENDING_PREFIX
from sp.sessions.cookie_names import PROVIDER_NAME as PROVIDER_NAME
from sp.sessions.cookie_names import THEME_NAME as THEME_NAME

_SESSIONS = rf"{NAME}(?:_[a-z0-9_-]*)?"  # sites that share a host name have a suffix
_NAMES = "|".join((_SESSIONS, FORM_NAME, DEVICE_NAME, LANDED_NAME, PROVIDER_NAME))

_OURS = re.compile(
    rf"(?:\A|(?<=[;,]))\s*(?:{HOST_PREFIX})?(?:{_NAMES}|{PENDING_PREFIX}[^=;,]*)\s*(?:=[^;,]*)?(?:[;,]|\Z)"
)
# Matches a Set-Cookie that some browser or parser treats as a cookie of the gateway (RFC 6265bis, section 5.6).
# Browsers drop white space around a name. If a cookie has no name, they send only its value, which may look like a
# name. Some parsers begin another cookie after a comma, semicolon, quote or line end. So the names are also found
# there; ordinary cookies of an application do not contain them. For a pending sign-in, the prefix of the name is
# enough, because some parsers read a comma, a quote or a space as part of the name.
_PENDING = rf"{PENDING_PREFIX}[^\s\"=;,]*"
_SET = re.compile(
    rf"\A[\s=\"]*(?:{HOST_PREFIX})?({_PENDING}|(?:{_NAMES})(?=[\"\s]*(?:[=;]|\Z)))"
    rf"|[;,\"\s](?:{HOST_PREFIX})?({_PENDING}|(?:{_NAMES})(?=[\"\s]*=))",
    re.IGNORECASE,
)


class FormSessions(SecureCookieSessionInterface):
    """Flask's own session, which most requests do not need.

    It has only the secret of a form, messages for the next page, and data of the tour.
    """

    def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession | None:
        """Return the content of the browser's cookie. If there is no cookie, return an empty session at once."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def is_null_session(self, obj: object) -> bool:
        """Tell whether there is nothing to save. If the session was never opened, *obj* is None."""
        return obj is None or super().is_null_session(obj)

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        """Write the cookie if a form has stored data in it."""
        if session.modified:
            super().save_session(app, session, response)


def session_cookie_name(https: bool, suffix: str = "") -> str:
    """Return the name of the session cookie. With *https*, it has a prefix for browsers.

    If several sites are on the same host name, their cookies differ in *suffix*.
    """
    return full_name(NAME + suffix, https)


def read_session_cookie(header: str, name: str) -> str | None:
    """Return the value of the cookie *name* in a Cookie *header*, or None if it is missing or ambiguous.

    If there are two different values, another host of the same domain may have planted one of them. So they are
    ambiguous. Names are compared exactly, because `__Host-x ` with a space is not `__Host-x`, although some parsers
    treat them as the same name.
    """
    prefix = name + "="
    at = header.find(prefix)
    if at < 0:
        return None
    if header.find(prefix, at + 1) < 0 and (at == 0 or header[at - 2 : at] == "; "):
        # The fast way, if there is one cookie with the name, written as browsers do. The result is the same as below.
        end = header.find(";", at)
        return header[at + len(prefix) : None if end < 0 else end].rstrip(" \t")
    values = {
        part[len(prefix) :].rstrip(" \t")
        for part in (part.lstrip(" \t") for part in header.split(";"))
        if part.startswith(prefix)
    }
    return values.pop() if len(values) == 1 else None


def set_session_cookie(response: Response, secret: str, *, https: bool, suffix: str = "") -> None:
    """Set the session cookie. The browser keeps it until it closes, but the server limits the session itself."""
    set_cookie(response, session_cookie_name(https, suffix), secret, https=https)


def clear_session_cookie(response: Response, *, https: bool, suffix: str = "") -> None:
    """Delete the session cookie in the browser."""
    clear_cookie(response, session_cookie_name(https, suffix), https=https)


def read_device_cookie(header: str, *, https: bool) -> str | None:
    """Return the value of the cookie that marks a browser in which a person has signed in before."""
    return read_session_cookie(header, full_name(DEVICE_NAME, https))


def set_device_cookie(response: Response, value: str, *, max_age: int, https: bool) -> None:
    """Recognise the browser for *max_age* seconds as one in which a person has signed in."""
    set_cookie(response, full_name(DEVICE_NAME, https), value, https=https, max_age=max_age)


def without_ours(header: str) -> str:
    """Return a Cookie *header* without the gateway's cookies. Only THEME_NAME stays.

    Applications do not need the other cookies, and must not leak them. A server may have joined two Cookie headers with
    a comma, so the text after a comma counts as a cookie too.
    """
    return _OURS.sub("", header).strip(" \t;,") if "sp_" in header else header


def ours_set_by(header: str) -> str:
    """Return the name of the gateway's cookie that a Set-Cookie *header* sets, as any browser or parser reads it.

    Return an empty text if it sets none, or only THEME_NAME.
    """
    found = _SET.search(header) if "sp_" in header.lower() else None
    return (found[1] or found[2]) if found else ""
