"""Show the tour of the demo: the sign-in that just happened, and buttons that send faulty tokens.

Only a demo has the tour, and only for browsers on this machine. In a real deployment, /tour is an ordinary path of the
application.
"""

from __future__ import annotations

import json
import secrets

from flask import Blueprint, abort, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from flask_wtf import FlaskForm

from shared import demo
from shared.clock import time_now
from shared.request_limits import refuse_nul
from shared.tokens import sign
from shared.web import page
from sp.activity import reading
from sp.activity import search as activity_log
from sp.activity.trace import Trace
from sp.current import components
from sp.diagnosis.inspector import Finding, inspect
from sp.diagnosis.tour import FAULT_BY_NAME, FAULTS, Step, broken_token, steps
from sp.providers.registry import Trusted
from sp.redirects import add_query
from sp.request.identity_headers import Sender, may_say
from sp.request.trusted_proxies import is_this_machine
from sp.sessions.cookies import session_cookie_name
from sp.sessions.store import Session
from sp.signin.replay import Spending
from sp.signin.verification import token_key

BROKEN = "tour_broken"  # in the form session: the jti of each token that this browser's buttons made
MAX_BROKEN = 20  # jtis stored; a cookie has 4 KB

views = Blueprint("tour", __name__)
views.before_request(refuse_nul)


class BreakForm(FlaskForm):  # type: ignore[misc]
    """A form with only a CSRF token."""


@views.before_request
def only_here() -> None:
    """Answer only in a demo, and only clients on this machine, even if the server accepts other connections.

    A proxy on this machine is not enough. A forwarded request counts as from this machine only if the proxy is trusted
    and reports this in X-Forwarded-For.
    """
    environ = request.environ
    client, peer = request.remote_addr or "", environ.get("lychgate.peer", request.remote_addr) or ""
    is_forwarded = any(not may_say(Sender.STRANGER, key) for key in environ) and "HTTP_X_FORWARDED_FOR" not in environ
    if not components().config.is_demo or not (is_this_machine(peer) and is_this_machine(client)):
        abort(404)
    if is_forwarded or "lychgate.forwarded" in environ:
        abort(404)


@views.get("/tour")
@login_required
def show() -> ResponseReturnValue:
    """Demo only: show the sign-in of this session step by step."""
    signed_in: Session = current_user.session
    detail = components().session_finder.detail(signed_in.public_id)
    trusted = _demo_provider()
    claims = dict(detail.claims) if detail and detail.provider == demo.PROVIDER and detail.claims else {}
    config = components().config
    told: tuple[Step, ...] = ()
    checks: list[Finding] = []
    if detail and claims:
        idp_url = demo.read(config.instance).idp_url
        told = steps(claims, idp_url, config.external_url, detail.created_at, session_cookie_name(config.https))
        keys = trusted.keys()
        again = sign(claims, keys.keys[0])  # sign again, because the token itself is not stored
        checks = [
            found for found in inspect(again, trusted.provider, keys, detail.created_at) if found.check != "nonce"
        ]
    return page(
        "sp/tour.html",
        detail=detail,
        steps=told,
        checks=checks,
        claims=json.dumps(claims, indent=2, ensure_ascii=False),
        faults=FAULTS,
        form=BreakForm(),
    )


@views.post("/tour/break")
@login_required
def break_sign_in() -> ResponseReturnValue:
    """Demo only: send the browser to the gateway with a token that has one fault."""
    fault = FAULT_BY_NAME.get(request.form.get("fault", ""))
    if fault is None or not BreakForm().validate_on_submit():
        return redirect(url_for("tour.show"), 303)
    trusted, person, now = _demo_provider(), current_user.session, int(time_now())
    pair = demo.read(components().config.instance)
    claims = {
        "iss": pair.idp_url,
        "aud": pair.sp_url,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
        "sub": person.email,
        "email": person.email,
    }
    if fault.spent:
        key = token_key(trusted.provider.name, str(claims["jti"]))
        components().replay.spend(components().database, Spending(key, now + 600), lambda _connection: None)
    _note_break(str(claims["jti"]))
    token = broken_token(fault, claims, trusted.keys().keys[0], now)
    return redirect(add_query(url_for("sso.login_jwt", provider_name=demo.PROVIDER), jwt=token), 303)


@views.get("/tour/trace/<reference>")
@login_required
def trace(reference: str) -> ResponseReturnValue:
    """Demo only: show what was recorded about your own rejected sign-in. Administrators get the whole trace."""
    if current_user.session.is_admin:
        return redirect(url_for("activity.show", reference=reference), 303)
    line = activity_log.by_reference(components().database, reference)
    found = reading.by_reference(components().database, reference)
    if line is None or line.code is None:
        abort(404)
    if line.email != current_user.session.email and not _is_own_break(found):
        abort(404)
    return page("sp/tour_trace.html", line=line, trace=found)


def _note_break(token_id: str) -> None:
    """Remember in the browser's signed form session that its button made this token."""
    session[BROKEN] = [*session.get(BROKEN, []), token_id][-MAX_BROKEN:]


def _is_own_break(found: Trace | None) -> bool:
    """Tell whether a button of this browser made the rejected token.

    Most rejections have no verified e-mail to compare.
    """
    claims = found.facts.claims if found else None
    return claims is not None and claims.get("jti") in session.get(BROKEN, [])


def _demo_provider() -> Trusted:
    return components().provider_registry.find(demo.PROVIDER)
