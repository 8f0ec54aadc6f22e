"""The edge that both programs share: pages, headers, error pages and logs.

`install` gives a Flask application the common style, the security headers and the two error pages: one for what a
person did, one for what went wrong here. A page never shows a stack trace; it shows a reference that stands in the
log beside the trace. `install_log_redaction` takes tokens out of every log line of the process.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from importlib.resources import files
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, g, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from secure import Secure
from secure.headers import (
    CacheControl,
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    ReferrerPolicy,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)
from werkzeug.exceptions import HTTPException

from shared.tokens import redact

REFERENCE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no letter that can be taken for a digit
REFERENCE_LENGTH = 10  # 49 bits: enough to be unique in a log, short enough to be read out on the telephone

log = logging.getLogger("lychgate")


def install(app: Flask, *, prefix: str, https: bool) -> None:
    """Give *app* the common pages, headers and error handlers; its static files stand below *prefix*/static."""
    app.register_blueprint(_ui(prefix))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    headers = _headers(https)

    @app.after_request
    def protect(response: Response) -> Response:
        static = request.endpoint is not None and request.endpoint.startswith("ui.")
        for name, value in headers.items():
            if name != "Cache-Control" or not static:
                response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", _content_security_policy())
        if not static:
            response.headers["Cache-Control"] = headers["Cache-Control"]
            response.vary.add("Cookie")
        return response

    app.register_error_handler(CSRFError, _form_expired)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def new_reference() -> str:
    """Return a reference by which a person's trouble is found in the log."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))


def prefers_json() -> bool:
    """Tell whether the request asks for JSON rather than for a page."""
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a rendered page with *status*."""
    return make_response(render_template(template, **values), status)


def allow_form_target(address: str) -> None:
    """Let a form of this page lead to *address*'s origin: browsers apply form-action to redirects as well."""
    parts = urlsplit(address)
    if parts.scheme and parts.netloc:
        g.form_targets = [*g.get("form_targets", []), f"{parts.scheme}://{parts.netloc}"]


def allow_own_script() -> None:
    """Let this page run the script files of our own static folder. Pages work without them."""
    g.own_script = True


def _ui(prefix: str) -> Blueprint:
    ui = Blueprint(
        "ui", __name__, template_folder="templates", static_folder="static", static_url_path=f"{prefix}/static"
    )
    bootstrap = Path(str(files("flask_bootstrap"))) / "static" / "bootstrap5" / "css" / "bootstrap.min.css"

    @ui.get(f"{prefix}/static/bootstrap.min.css")
    def bootstrap_css() -> Response:
        """Serve the stylesheet out of the installed package: nothing is loaded from another host."""
        response = Response(bootstrap.read_bytes(), mimetype="text/css")
        response.cache_control.max_age = 86400
        response.cache_control.public = True
        response.add_etag()
        return response.make_conditional(request)

    return ui


def _headers(https: bool) -> dict[str, str]:
    policy = Secure(
        cache=CacheControl().no_store(),
        coop=CrossOriginOpenerPolicy().same_origin(),
        referrer=ReferrerPolicy().no_referrer(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        hsts=StrictTransportSecurity().max_age(31536000) if https else None,
    )
    return dict(policy.headers)


def _content_security_policy() -> str:
    policy = (
        ContentSecurityPolicy()
        .default_src("'none'")
        .style_src("'self'")
        .img_src("'self'", "data:")
        .font_src("'self'")
        .base_uri("'none'")
        .frame_ancestors("'none'")
        .form_action("'self'", *dict.fromkeys(g.get("form_targets", [])))
    )
    if g.get("own_script"):
        policy = policy.script_src("'self'")
    return policy.header_value


def _form_expired(error: CSRFError) -> ResponseReturnValue:
    title = "This form has expired"
    text = "Go back, reload the page and send it again. If that does not help, allow cookies for this site."
    return _problem(400, "form_expired", title, text, None)


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if error.response is not None or status < 400:
        return error.get_response()
    answer = make_response(_problem(status, error.name.lower().replace(" ", "_"), error.name, error.description, None))
    answer.headers.extend((k, v) for k, v in error.get_headers() if k.lower() in ("allow", "retry-after"))
    return answer


def _unexpected(error: Exception) -> ResponseReturnValue:
    reference = new_reference()
    log.error("unexpected error, reference %s, %s %s", reference, request.method, request.path, exc_info=error)
    text = "It is not your fault. Try again; if it happens again, quote this reference to your administrator."
    return _problem(500, "internal_error", "Something went wrong here", text, reference)


def _problem(status: int, code: str, title: str, text: str | None, reference: str | None) -> ResponseReturnValue:
    if prefers_json():
        body = {"error": code, "error_description": text or title}
        return jsonify(body | ({"reference": reference} if reference else {})), status
    return page("ui/problem.html", status, title=title, text=text, reference=reference)


def install_log_redaction() -> None:
    """Take everything that looks like a token out of every log record of this process, traces included."""
    make_record = logging.getLogRecordFactory()
    if getattr(make_record, "redacts", False):
        return
    formatter = logging.Formatter()

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        if record.exc_info:
            record.exc_text = redact(formatter.formatException(record.exc_info))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return record  # a wrong format string; logging reports it by itself
        redacted = redact(message)
        if redacted != message:
            record.msg, record.args = redacted, ()
        return record

    make_redacted_record.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted_record)


def is_trusted_peer(address: str, trusted: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether the socket peer *address* is in one of the *trusted* networks."""
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    return any(peer in network for network in trusted)
