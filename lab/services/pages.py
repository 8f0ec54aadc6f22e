"""The pages of an emulated service: its sign-in, its sign-out, and /__lab__/ for tests in any language."""

from __future__ import annotations

from flask import Flask, Response, jsonify, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from lab.identity_pages import MAX_BODY, NOT_KEPT, http_refusal, refuse_other_hosts
from lab.services.attempt_log import as_json
from lab.services.memory import Attempt, Visitor
from lab.services.product import path_here
from lab.services.service import Service

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def create_app(service: Service) -> Flask:
    """Return the application of one emulated service."""
    app = Flask(__name__, template_folder="../templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.before_request(refuse_other_hosts)
    app.after_request(_guarded)
    pages, product = _Pages(service), service.product
    app.add_url_rule(product.token_path, "token", pages.token, methods=["GET", "POST"])
    if product.start_path != product.token_path:
        app.add_url_rule(product.start_path, "start", pages.start)
    if product.error_path:
        app.add_url_rule(product.error_path, "error", pages.error)
    app.add_url_rule("/logout", "logout", pages.logout, methods=["POST"])
    app.add_url_rule("/__lab__/", "about", pages.about)
    app.add_url_rule("/__lab__/last", "last", pages.last)
    app.add_url_rule("/__lab__/reset", "reset", pages.reset, methods=["POST"])
    app.add_url_rule("/", "home", pages.home)
    app.add_url_rule("/<path:_page>", "page", pages.any_page)
    app.register_error_handler(HTTPException, http_refusal)
    return app


class _Pages:
    """Answers requests; one method for each URL."""

    def __init__(self, service: Service) -> None:
        self._service, self._product, self._memory = service, service.product, service.memory
        self._cookie = f"lab_sp_{service.memory.name}"

    def token(self) -> AnyResponse:
        """Accept a token. HEAD spends no token, because link scanners send HEAD before a person opens the link."""
        if request.method == "HEAD":
            return Response()
        values = [*request.args.getlist(self._product.parameter), *request.form.getlist(self._product.parameter)]
        if not values and request.method == "GET" and self._product.start_path == self._product.token_path:
            return self.start()
        delivery = "query" if request.method == "GET" else "form"
        attempt, answer = self._service.take(
            delivery, values, request.values.to_dict(), origin=_origin(), visitor=self._visitor()
        )
        if attempt.accepted:
            return self._remembered(redirect(answer.location, answer.status), Visitor(attempt.claims))
        visitor = self._visitor() or Visitor()
        visitor.refused = attempt
        response = redirect(answer.location, answer.status) if answer.location else self._refused(attempt)
        response.status_code = answer.status
        return self._remembered(response, visitor)

    def start(self) -> AnyResponse:
        """Begin a sign-in at the identity provider."""
        return self._begin(path_here(request.args.get(self._product.return_parameter, ""), _origin()))

    def home(self) -> Response:
        """Show who is signed in."""
        return self._page(200)

    def any_page(self, _page: str) -> AnyResponse:
        """Show who is signed in, or begin a sign-in that leads back here."""
        visitor = self._visitor()
        if visitor and visitor.claims is not None:
            return self._page(200)
        return self._begin(path_here(request.full_path.rstrip("?"), _origin()))

    def error(self) -> Response:
        """Show which rule this browser's last sign-in broke, at the product's URL for errors."""
        visitor = self._visitor()
        return self._refused(visitor.refused) if visitor and visitor.refused else self._page(200)

    def logout(self) -> AnyResponse:
        """End the session, and redirect to the product's page after sign-out."""
        visitor = self._visitor()
        self._memory.forget(request.cookies.get(self._cookie, ""))
        claims = visitor.claims if visitor else None
        response = redirect("/" if claims is None else self._service.signed_out(claims, _origin()), 302)
        response.delete_cookie(self._cookie)
        return response

    def about(self) -> Response:
        """Return the URL for tokens, and the rules for them."""
        product, origin = self._product, _origin()
        return jsonify(
            name=product.name,
            title=product.title,
            token_url=origin + product.token_path,
            parameter=product.parameter,
            delivery=product.deliveries[0],
            deliveries=product.deliveries,
            algorithm=self._service.verifier.algorithm,
            start_url=origin + product.start_path,
            rules=[{"name": rule.name, "says": rule.says, "source": rule.source} for rule in product.rules],
        )

    def last(self) -> Response:
        """Return the last attempt."""
        attempts = self._memory.attempts
        return jsonify(as_json(attempts[-1]) if attempts else None)

    def reset(self) -> tuple[str, int]:
        """Forget everything."""
        self._memory.reset()
        return "", 204

    def _begin(self, return_to: str) -> AnyResponse:
        if not self._service.settings.login_url:
            return self._page(401)
        visitor = self._visitor()
        known, visitor = visitor is not None, visitor or Visitor()
        response = redirect(self._service.begin(visitor, return_to, _origin()), 302)
        return response if known else self._remembered(response, visitor)

    def _visitor(self) -> Visitor | None:
        return self._memory.visitor(request.cookies.get(self._cookie, ""))

    def _remembered(self, response: AnyResponse, visitor: Visitor) -> AnyResponse:
        """Give the browser a new cookie; the old one becomes invalid."""
        self._memory.forget(request.cookies.get(self._cookie, ""))
        response.set_cookie(self._cookie, self._memory.welcome(visitor), httponly=True, samesite="Lax")
        return response

    def _refused(self, attempt: Attempt) -> Response:
        return self._page(401, attempt)

    def _page(self, status: int, refused: Attempt | None = None) -> Response:
        visitor, product = self._visitor(), self._product
        claims = visitor.claims if visitor else None
        page = render_template(
            "lab/service.html",
            product=product,
            claims=claims,
            person=product.name_of(claims) if claims is not None else "",
            refused=refused,
            rule=product.rule_named(refused.rule) if refused else None,
            may_begin=bool(self._service.settings.login_url),
        )
        return Response(page, status)


def _origin() -> str:
    return f"{request.scheme}://{request.host}"


def _guarded(response: Response) -> Response:
    response.headers.update({**NOT_KEPT, "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})
    return response
