"""Sign-in by token: begin it, take the token, and say why it was refused."""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Flask, g, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shared.errors import (
    REJECTIONS,
    CookiesBlocked,
    DeliveryNotAllowed,
    NonceMismatch,
    Rejection,
    StoreUnavailable,
    TokenMissing,
    TokenReplayed,
    Unsolicited,
)
from shared.web import new_reference, page, prefers_json
from sp import activity
from sp.cookies import set_session_cookie
from sp.core import core
from sp.pending import Pending
from sp.providers import Provider
from sp.redirects import add_query, own_path
from sp.registry import Trusted
from sp.replay import token_key
from sp.sessions import API, BROWSER, hash_id
from sp.verification import Verified, check_nonce, verify
from sp.views import loops, trial
from sp.views.people import browser_secret, browser_session, visitor

views = Blueprint("sso", __name__)
REFERENCE = re.compile(r"[0-9A-Z]{1,16}\Z")


@dataclass(frozen=True)
class Delivery:
    """How a token came: the text itself, and whether it is a browser that is signed in by it."""

    unverified_token: str
    way: str
    wants_json: bool


@views.get("/sso/start", endpoint="start", defaults={"provider_name": None})
@views.get("/sso/start/<provider_name>", endpoint="start")
def start(provider_name: str | None) -> ResponseReturnValue:
    """Begin a sign-in: remember the page and a nonce for this browser, and go to the provider."""
    g.provider = None
    trusted = core().registry.get(provider_name)
    provider = trusted.provider
    g.provider = provider
    return_path = _own_path(request.args.get("return_to")) or _own_path(provider.return_url) or "/"
    if not provider.login_url:
        return redirect(url_for("signin.login", no_sso="", return_to=return_path), 303)
    if request.method == "HEAD":
        return "", 200
    if (cookie_test := loops.break_circle(provider, return_path)) is not None:
        return cookie_test
    response = redirect("/", 303)
    pending = core().pending.begin(response, request.cookies, provider.name, return_path)
    absolute = core().config.external_url + return_path
    response.location = add_query(provider.login_url, return_to=absolute, nonce=pending.nonce)
    return response


@views.route("/sso/login/jwt", endpoint="login_jwt", methods=["GET", "POST"], defaults={"provider_name": None})
@views.route("/sso/login/jwt/<provider_name>", endpoint="login_jwt", methods=["GET", "POST"])
@views.route("/access/jwt", endpoint="access_jwt", methods=["GET", "POST"], defaults={"provider_name": None})
@views.route("/access/jwt/<provider_name>", endpoint="access_jwt", methods=["GET", "POST"])
def take_token(provider_name: str | None) -> ResponseReturnValue:
    """Take a token, and open a session by it."""
    g.provider = g.verified = g.token_key = None
    g.wants_json = prefers_json() or "Authorization" in request.headers
    if not g.wants_json and (report := trial.answer(provider_name, lambda p: _delivery(p).unverified_token)):
        return report
    trusted = core().registry.get(provider_name)
    provider = trusted.provider
    g.provider = provider
    if request.method == "HEAD":
        return "", 200  # looked at, not opened: link previews and mail scanners spend nothing
    delivery = _delivery(provider)
    token = delivery.unverified_token
    verified = trusted.with_keys(token, lambda keys: verify(token, provider, keys, time.time()))
    g.verified, g.token_key = verified, token_key(provider.name, verified.claims.token_id or "")
    if delivery.wants_json:
        return _open_for_client(verified, trusted, delivery)
    return _open_for_browser(verified, trusted)


@views.get("/access/jwt/error")
def error() -> ResponseReturnValue:
    """Say what happened, what to do about it, and the reference to quote."""
    rejection = REJECTIONS.get(request.args.get("code", ""), Rejection)
    reference = request.args.get("reference", "")
    if not REFERENCE.match(reference):
        reference = ""
    if rejection is TokenReplayed and (path := _landing_of(reference)) is not None:
        return redirect(path, 303)
    try:
        session = browser_session()
    except StoreUnavailable:
        session = None  # or the page that says so would lead to itself
    causes = loops.causes() if rejection is CookiesBlocked and session is None else []
    return page(
        "sp/refused.html",
        rejection.status,
        rejection=rejection,
        reference=reference,
        session=session,
        causes=causes,
    )


def install_errors(app: Flask) -> None:
    """Turn every Rejection, wherever it is raised, into the answer that the contract promises."""
    app.register_error_handler(Rejection, refuse)


def refuse(rejection: Rejection) -> ResponseReturnValue:
    """Answer a refusal: JSON with the code's status, or the way to the error page; and write it down."""
    reference = write_down(rejection)
    provider: Provider | None = g.get("provider")
    if g.get("wants_json", prefers_json()):
        body = {"error": rejection.code, "error_description": rejection.description, "reference": reference}
        return jsonify(body), rejection.status
    if provider and provider.error_url and provider.error_url != "/access/jwt/error":
        return redirect(add_query(provider.error_url, code=rejection.code, reference=reference), 303)
    return redirect(url_for("sso.error", code=rejection.code, reference=reference), 303)


def write_down(rejection: Rejection) -> str:
    """Write a refusal into the activity log, with what is known of the token, and return its reference."""
    reference = new_reference()
    provider: Provider | None = g.get("provider")
    core().sign_in.note_refusal(
        rejection,
        visitor(),
        reference=reference,
        provider=provider.name if provider else None,
        verified=g.get("verified"),
        key=g.get("token_key"),
    )
    return reference


def _delivery(provider: Provider) -> Delivery:
    """Return the token and how it came. Raises TokenMissing or DeliveryNotAllowed."""
    scheme, _space, credentials = request.headers.get("Authorization", "").partition(" ")
    found = {
        "header": credentials.strip() if scheme.lower() == "bearer" else "",
        "form": request.form.get(provider.token_parameter, ""),
        "query": request.args.get(provider.token_parameter, ""),
    }
    for way, unverified_token in found.items():
        if unverified_token:
            if way not in provider.deliveries:
                raise DeliveryNotAllowed(f"the token came by {way}; allowed: {', '.join(provider.deliveries)}")
            return Delivery(unverified_token, way, way == "header" or prefers_json())
    raise TokenMissing(f"there is no token: it is expected as {provider.token_parameter}")


def _open_for_client(verified: Verified, trusted: Trusted, delivery: Delivery) -> ResponseReturnValue:
    """Answer a client that asks for JSON: an access token, and no cookie.

    Without a cookie nobody can be signed in against his will, so a token that was not asked for needs no restart.
    """
    provider = trusted.provider
    if delivery.way != "header":
        asked = core().pending.read(request.cookies, provider.name)
        if provider.unsolicited == "refuse" and not asked:
            check_nonce(verified.claims, provider, frozenset())
            raise Unsolicited("nobody here asked for this token")
        check_nonce(verified.claims, provider, frozenset(pending.nonce for pending in asked))
    signed_in = core().sign_in.with_token(verified, trusted, visitor(), reference=new_reference(), kind=API)
    body = {"access_token": signed_in.secret, "token_type": "Bearer", "expires_in": core().sessions.lifetime}
    return jsonify(body)


def _open_for_browser(verified: Verified, trusted: Trusted) -> ResponseReturnValue:
    """Sign the browser in, or send it on where the token has signed it in before."""
    asked = core().pending.read(request.cookies, trusted.provider.name)
    try:
        if _is_unasked(verified, asked) and trusted.provider.unsolicited == "restart" and trusted.provider.login_url:
            return _restart(verified, trusted)
        return _open_asked_for(verified, trusted, asked)
    except (TokenReplayed, NonceMismatch, Unsolicited):
        if (path := _landing(g.token_key, asked)) is not None:
            return redirect(path, 303)
        raise


def _is_unasked(verified: Verified, asked: list[Pending]) -> bool:
    """Tell whether this browser has begun no sign-in that the token could answer.

    The back button to the identity provider's form brings a new token with the nonce of a sign-in that is finished,
    while other tabs may be waiting. So a foreign nonce in a browser that is signed in is taken for that, and opens
    nothing. In one that is not signed in it is an attack, which check_nonce refuses.
    """
    if not asked:
        return True
    nonce = verified.claims.nonce
    return nonce is not None and all(pending.nonce != nonce for pending in asked) and browser_session() is not None


def _restart(verified: Verified, trusted: Trusted) -> ResponseReturnValue:
    """Open nothing; send the browser to ask for a token itself (wire contract, `unsolicited`)."""
    provider = trusted.provider
    core().sign_in.restart(verified, trusted, visitor(), reference=new_reference())
    return_path = _wanted_path(verified) or _own_path(provider.return_url) or "/"
    return redirect(url_for("sso.start", provider_name=provider.name, return_to=return_path), 303)


def _open_asked_for(verified: Verified, trusted: Trusted, asked: list[Pending]) -> ResponseReturnValue:
    provider = trusted.provider
    check_nonce(verified.claims, provider, frozenset(pending.nonce for pending in asked))
    if not asked and provider.unsolicited != "accept":
        raise Unsolicited("this browser has begun no sign-in")
    pending = _answered(verified, asked)
    return_path = pending.return_path if pending else _wanted_path(verified) or ""
    landing = return_path or _own_path(provider.return_url) or provider.return_url
    signed_in = core().sign_in.with_token(
        verified,
        trusted,
        visitor(),
        reference=new_reference(),
        kind=BROWSER,
        return_path=landing,
        pending_hash=pending.nonce_hash if pending else None,
        access_token=provider.access_token_delivery != "none",
    )
    response = redirect(_with_access_token(landing, provider, signed_in.access_token), 303)
    set_session_cookie(response, signed_in.secret, https=core().config.https)
    core().landings.note(response, request.cookies, landing)
    if pending:
        core().pending.finish(response, pending)
    return response


def _answered(verified: Verified, asked: list[Pending]) -> Pending | None:
    """Return the sign-in that this token answers: by its nonce, else by the page it names, else the newest."""
    for pending in asked:
        if pending.nonce == verified.claims.nonce:
            return pending
    wanted = _wanted_path(verified)
    return next((pending for pending in asked if pending.return_path == wanted), asked[0] if asked else None)


def _landing(key: bytes, asked: list[Pending]) -> str | None:
    """Return where a second use of the token leads this browser, or None if it is not the browser that used it.

    A refresh, a back button and a double click send the token again. The browser that owns the session that the
    token opened, or the sign-in that it answered, is sent on; that opens nothing.
    """
    trace = core().sign_in.trace(key)
    if trace is None or trace.return_path is None:
        return None
    if any(pending.nonce_hash == trace.pending_hash for pending in asked):
        return trace.return_path
    secret = browser_secret()
    if secret and trace.session_hash and hmac.compare_digest(hash_id(secret), trace.session_hash):
        return trace.return_path if browser_session() else None
    return None


def _landing_of(reference: str) -> str | None:
    """Return where the token of a refusal leads this browser: a double click may outrun the cookie of the first."""
    if not reference:
        return None
    with core().engine.connect() as connection:
        key = activity.token_key_of(connection, reference)
    return _landing(key, []) if key else None


def _with_access_token(landing: str, provider: Provider, access_token: str | None) -> str:
    """Return *landing* with the access token added, where the provider's settings ask for it (seed: LoginRadius)."""
    if access_token is None:
        return landing
    values = {"access_token": access_token, "token_type": "Bearer", "expires_in": str(core().sessions.lifetime)}
    if provider.access_token_delivery == "query":
        return add_query(landing, **values)
    return f"{landing.partition('#')[0]}#{urlencode(values)}"


def _wanted_path(verified: Verified) -> str | None:
    claim = verified.claims.raw.get("return_to")
    return _own_path(claim if isinstance(claim, str) else None) or _own_path(request.values.get("return_to"))


def _own_path(address: str | None) -> str | None:
    return own_path(address, core().config.external_url)
