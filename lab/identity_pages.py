"""The pages of the identity provider for tests: /login-token/, /logout, and /__lab__/ for tests in any language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, abort, jsonify, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from lab.faults import NotApplicable, UnknownFault
from lab.issuing import Issuer, Sent, SignIn, possible_faults

Delivery = Literal["redirect", "form"]
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")  # allowed host names; another name means DNS rebinding
NOT_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
MAX_BODY = 65_536  # bytes
DECIDABLE = {"user": str, "claims": dict, "without": list, "fault": str}


def create_app(
    issuer: Issuer, service: str, parameter: str = "jwt", delivery: Delivery = "redirect", *, any_host: bool = False
) -> Flask:
    """Return the identity provider for one *service*. If *any_host* is true, it answers under any host name."""
    app = Flask(__name__, template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    pages = _Pages(issuer, service, parameter, delivery)
    if not any_host:
        app.before_request(refuse_other_hosts)
    app.add_url_rule("/", view_func=pages.home)
    app.add_url_rule("/login-token/", view_func=pages.login, methods=["GET", "POST"])
    app.add_url_rule("/logout", view_func=pages.logout, methods=["GET", "POST"])
    app.add_url_rule("/.well-known/jwks.json", view_func=pages.jwks)
    app.add_url_rule("/__lab__/", view_func=pages.about)
    app.add_url_rule("/__lab__/next", view_func=pages.next, methods=["POST"])
    app.add_url_rule("/__lab__/last", view_func=pages.last)
    app.add_url_rule("/__lab__/reset", view_func=pages.reset, methods=["POST"])
    app.register_error_handler(UnknownFault, _refusal)
    app.register_error_handler(NotApplicable, _refusal)
    app.register_error_handler(HTTPException, http_refusal)
    return app


class _Pages:
    """Answers requests; one method for each path."""

    def __init__(self, issuer: Issuer, service: str, parameter: str, delivery: Delivery) -> None:
        self._issuer, self._service, self._parameter, self._delivery = issuer, service, parameter, delivery
        self._faults = possible_faults(issuer.key)
        # Cookies ignore ports, so two of these providers on one machine need different names.
        self._cookie = f"lab_idp_{issuer.generation}"

    def home(self) -> str:
        """Show the form and the links, even to a signed-in person."""
        return self._form()

    def login(self) -> AnyResponse:
        """Issue a token, or show the page that asks for the person."""
        sign_in = self._wanted()
        if sign_in is None:
            return Response(self._form())
        echoed = {name: request.values[name] for name in ("return_to", "nonce") if request.values.get(name)}
        sent = self._issuer.issue(sign_in, return_to=echoed.get("return_to", ""), nonce=echoed.get("nonce", ""))
        response = self._delivered(sent)
        response.headers.update(NOT_KEPT)
        cookie = json.dumps([self._issuer.generation, sent.user])
        response.set_cookie(self._cookie, cookie.encode().hex(), httponly=True, samesite="Lax")
        return response

    def logout(self) -> Response:
        """Forget who is signed in in this browser."""
        response = Response(render_template("lab/signed_out.html"))
        response.delete_cookie(self._cookie)
        return response

    def jwks(self) -> Response:
        """Publish the public key, if there is one."""
        key = self._issuer.key
        public = [] if isinstance(key.private, bytes) else [key.jwk(alg=key.algorithm, use="sig", **_name(key.kid))]
        return jsonify(keys=public)

    def about(self) -> Response:
        """Return the URLs of sign-in and of the service, and the names of the faults."""
        root = request.host_url.rstrip("/")
        return jsonify(
            login_url=f"{root}/login-token/",
            logout_url=f"{root}/logout",
            service=self._service,
            parameter=self._parameter,
            delivery=self._delivery,
            algorithm=self._issuer.key.algorithm,
            faults=[fault.name for fault in self._faults],
        )

    def next(self) -> tuple[str, int]:
        """Decide the next sign-in. Only JSON is accepted, so that a page of another site cannot send it."""
        given = request.get_json()
        if not isinstance(given, dict) or any(
            name not in DECIDABLE or not isinstance(value, DECIDABLE[name]) for name, value in given.items()
        ):
            abort(
                400, "send an object with user (text), claims (object), without (list) and fault (text), all optional"
            )
        self._issuer.decide(SignIn(**given))
        return "", 204

    def last(self) -> Response:
        """Tell about the last token that was sent."""
        if not self._issuer.sent:
            return jsonify(None)
        sent = self._issuer.sent[-1]
        shown = ("user", "fault", "return_to", "nonce", "token")
        return jsonify({**{name: getattr(sent, name) for name in shown}, "claims": dict(sent.claims)})

    def reset(self) -> tuple[str, int]:
        """Forget everything."""
        self._issuer.reset()
        return "", 204

    def _wanted(self) -> SignIn | None:
        user, fault = request.values.get("user", "").strip(), request.values.get("fault", "")
        if user or fault:
            return SignIn(user or self._signed_in(), fault=fault)
        if (decided := self._issuer.decided()) is not None:
            return decided
        known = self._signed_in()
        return SignIn(known) if known else None

    def _signed_in(self) -> str:
        """Return who signed in in this browser since the last reset, or an empty text."""
        try:
            generation, user = json.loads(bytes.fromhex(request.cookies.get(self._cookie, "")))
        except ValueError:
            return ""
        return str(user) if generation == self._issuer.generation else ""

    def _delivered(self, sent: Sent) -> AnyResponse:
        echoed = {"return_to": sent.return_to} if sent.return_to else {}
        fields = {**echoed, self._parameter: sent.token}
        if self._delivery == "form":
            return Response(render_template("lab/post.html", action=self._service, fields=fields))
        return redirect(f"{self._service}{'&' if urlsplit(self._service).query else '?'}{urlencode(fields)}", 303)

    def _form(self) -> str:
        kept = {name: request.values[name] for name in ("return_to", "nonce") if request.values.get(name)}
        user = request.values.get("user", "") or self._signed_in() or "alice@example.org"
        links = [(fault, urlencode({"user": user, "fault": fault.name, **kept})) for fault in self._faults]
        return render_template("lab/sign_in.html", user=user, kept=kept, links=links, service=self._service)


def _name(kid: str) -> Mapping[str, Any]:
    return {"kid": kid} if kid else {}


def refuse_other_hosts() -> None:
    """Answer 403 to a request that a page of another origin may have sent.

    This is a request under another host name (DNS rebinding), or a request from another origin to a URL below
    /__lab__/.
    """
    if request.path.startswith("/__lab__/") and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        abort(403, "a page of another site may not control this")
    if urlsplit(f"//{request.host}").hostname not in THIS_MACHINE:
        abort(403, "this is for tests on this machine; ask it as 127.0.0.1 or localhost")


def _refusal(error: Exception) -> tuple[Response, int]:
    return jsonify(error=str(error)), 400


def http_refusal(error: HTTPException) -> tuple[Response, int]:
    """Answer with the error as JSON."""
    return jsonify(error=error.description), error.code or 500
