"""Give the gateway and the identity provider the same common pages, headers and error pages.

`install` gives a Flask application the common style, the security headers and the two error pages. One page is for
errors in the request, the other for errors in the program. A page never shows a stack trace. The page for errors in the
program shows a reference instead, and the log has the same reference next to the stack trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, g, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from markupsafe import Markup
from secure import Secure
from secure.headers import (
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    ReferrerPolicy,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from shared.branding import Branding
from shared.current import current_application, current_globals, current_request
from shared.languages import install_languages, language, speak_english
from shared.look import add_views, install_look
from shared.phrases import N_
from shared.references import new_reference as new_reference
from shared.user_agent import device_name

# Replacements for the framework's own technical texts.
_IN_OUR_WORDS = {
    403: (N_("Access denied"), N_("Your account may not open this page. Ask your administrator for access.")),
    404: (N_("Page not found"), N_("This page does not exist. Check the URL, or go back.")),
    405: (
        N_("Method not allowed"),
        N_("This page cannot be opened in this way. Go back, and use a link or a button there."),
    ),
    413: (N_("Request too large"), N_("You sent more data than this page accepts. Go back, and send less.")),
}

log = logging.getLogger("lychgate")


def install(
    app: Flask,
    *,
    prefix: str,
    https: bool,
    branding: Branding,
    theme_cookie: str,
    role: str = "",
    translations: Sequence[Path] = (),
    english_pages: str = "",
    wants_json: Callable[[], bool] | None = None,
) -> None:
    """Give *app* the common pages, headers and error handlers; its static files are below *prefix*/static.

    If the branding has no name, the head of each page shows *role*, so that a person sees that the identity provider,
    and not the gateway, asks for a password. *theme_cookie* is the name of the cookie for light or dark. Each program
    needs a different name, because browsers send cookies to all ports of a host. *translations* are folders with
    catalogues. Templates whose name begins with *english_pages* stay in English. *wants_json* tells whether errors of
    the current request are answered in JSON. If it is not given, the Accept header decides.
    """
    look = install_look(app, branding, role=role, cookie=theme_cookie, https=https)
    ui = _ui(prefix)
    add_views(ui, prefix, look, https=https)
    app.register_blueprint(ui)
    app.extensions["wants_json"] = wants_json or prefers_json
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    install_languages(app, translations)
    app.extensions["english_pages"] = english_pages
    app.jinja_env.filters.update(moment=moment, when=when, device=device_name)
    headers = _headers(https)
    page_headers = [*headers.items(), ("Cache-Control", "no-store"), ("Vary", "Cookie, Accept-Language")]

    @app.after_request
    def protect(response: Response) -> Response:
        """Add the common headers to *response*. If the response already has one of them, that header is kept."""
        noted, endpoint = current_globals(), current_request().endpoint
        static = endpoint is not None and endpoint.startswith("ui.")
        present = {name.lower() for name, _value in response.headers}
        for name, value in headers.items() if static else page_headers:
            if name.lower() not in present:
                response.headers.add(name, value)
        if response.mimetype == "text/html" and "content-language" not in present:
            response.headers.add("Content-Language", language())
        if "content-security-policy" not in present:
            targets = tuple(dict.fromkeys(noted.get("form_targets", ())))
            policy = _content_security_policy(
                targets, noted.get("own_script", False), noted.get("own_connection", False)
            )
            response.headers.add("Content-Security-Policy", policy)
        return response

    app.register_error_handler(CSRFError, _form_expired)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def prefers_json() -> bool:
    """Tell whether the request asks for JSON rather than for a page."""
    return _prefers_json(current_request().headers.get("Accept", ""))


@lru_cache(maxsize=256)
def _prefers_json(accept: str) -> bool:
    accepted = parse_accept_header(accept, MIMEAccept)
    return accepted["application/json"] > accepted["text/html"]


def answers_json() -> bool:
    """Tell whether errors of this request are answered in JSON.

    The application's `wants_json` or the Accept header decides.
    """
    decide: Callable[[], bool] = current_application().extensions["wants_json"]
    return decide()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a rendered page with *status*."""
    english: str = current_app.extensions["english_pages"]
    if english and template.startswith(english):
        speak_english()
    return make_response(render_template(template, **values), status)


def moment(when: datetime | int | None) -> str:
    """Return *when* (aware, or in seconds since 1970) as a readable date and time, or an empty text for None."""
    if when is None:
        return ""
    aware = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def when(time: datetime | int | None) -> Markup | str:
    """Return *time* as an HTML element in UTC, or an empty text for None.

    static/times.js shows it in the reader's time zone.
    """
    if time is None:
        return ""
    g.own_script = g.times = True
    text = moment(time)
    return Markup('<time datetime="{}">{}</time>').format(text.replace(" UTC", "Z").replace(" ", "T"), text)


def allow_form_target(url: str) -> None:
    """Allow the forms of this page to lead to the origin of *url*.

    Some browsers, such as Chrome, apply the CSP directive form-action also to a redirect after the form is sent. So
    without this call, they would block a redirect to that origin.
    """
    parts = urlsplit(url)
    if parts.scheme and parts.netloc:
        g.form_targets = [*g.get("form_targets", []), f"{parts.scheme}://{parts.netloc}"]


def allow_own_script(*, connects: bool = False) -> None:
    """Allow this page to run the script files of our own static folder. Pages work without them.

    With *connects*, the scripts may send requests to this site.
    """
    g.own_script, g.own_connection = True, connects


def _ui(prefix: str) -> Blueprint:
    ui = Blueprint(
        "ui", __name__, template_folder="templates", static_folder="static", static_url_path=f"{prefix}/static"
    )
    bootstrap = Path(str(files("flask_bootstrap"))) / "static" / "bootstrap5" / "css" / "bootstrap.min.css"

    @ui.get(f"{prefix}/static/bootstrap.min.css")
    def bootstrap_css() -> Response:
        """Serve the stylesheet from the installed package, so that pages load no file from another host."""
        response = Response(bootstrap.read_bytes(), mimetype="text/css")
        response.cache_control.max_age = 86400
        response.cache_control.public = True
        response.add_etag()
        response.make_conditional(request)
        return response

    return ui


def _headers(https: bool) -> dict[str, str]:
    policy = Secure(
        coop=CrossOriginOpenerPolicy().same_origin(),
        referrer=ReferrerPolicy().no_referrer(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        hsts=StrictTransportSecurity().max_age(31536000) if https else None,
    )
    return dict(policy.headers)


@lru_cache(maxsize=256)
def _content_security_policy(form_targets: tuple[str, ...], own_script: bool, own_connection: bool) -> str:
    policy = (
        ContentSecurityPolicy()
        .default_src("'none'")
        .style_src("'self'")
        .img_src("'self'", "data:")
        .font_src("'self'")
        .base_uri("'none'")
        .frame_ancestors("'none'")
        .form_action("'self'", *form_targets)
    )
    if own_script:
        policy = policy.script_src("'self'")
    if own_connection:
        policy = policy.connect_src("'self'")
    return policy.header_value


def _form_expired(error: CSRFError) -> ResponseReturnValue:
    title = N_("This form has expired")
    text = N_("Open the page again and send the form once more. If that does not help, allow cookies for this site.")
    return _problem(400, "form_expired", title, text, None, again=N_("Open the page again"))


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if error.response is not None or status < 400:
        return make_response(error.get_response())
    title, general = _IN_OUR_WORDS.get(status, (error.name, error.description))
    text = general if error.description == type(error).description else error.description
    answer = make_response(_problem(status, error.name.lower().replace(" ", "_"), title, text, None))
    answer.headers.extend((k, v) for k, v in error.get_headers() if k.lower() in ("allow", "retry-after"))
    return answer


def _unexpected(error: Exception) -> ResponseReturnValue:
    reference = new_reference()
    log.error(
        "unexpected error, reference %s, %s %s",
        *(reference, request.method, request.path),
        exc_info=error,
        extra={"event": "error", "reference": reference, "code": "internal_error"},
    )
    text = N_(
        "This is our error, not yours. Try again. If it happens again, give this reference to your administrator."
    )
    return _problem(500, "internal_error", N_("Something went wrong"), text, reference, again=N_("Try again"))


def _problem(
    status: int, code: str, title: str, text: str | None, reference: str | None, *, again: str = ""
) -> ResponseReturnValue:
    """Answer with JSON or a page. *again* is the label of the button that opens the same URL again."""
    if answers_json():
        body = {"error": code, "error_description": text or title}
        return jsonify(body | ({"reference": reference} if reference else {})), status
    return page("ui/problem.html", status, title=title, text=text, reference=reference, again=again)
