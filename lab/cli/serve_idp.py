"""`lab serve-idp`: an identity provider without passwords, for tests in any language."""

from __future__ import annotations

import argparse
import secrets

from lab.cli import WrongUsage
from lab.cli.token_options import add_claim_options, claims_of, read
from lab.identity_pages import create_app
from lab.issuing import Issuer
from lab.server import LOOPBACK, serve_until_interrupted
from shared.settings import is_loopback, is_web_url

GATEWAY = "http://127.0.0.1:5000/sso/login/jwt"
SECRET_BYTES = 48
WARNING = "This signs in anyone without a password. It is for tests only."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--port", type=int, default=5001, help="0 takes a free one; default: %(default)s")
    parser.add_argument("--host", default=LOOPBACK, help="default: %(default)s, which only this machine reaches")
    parser.add_argument("--service", default=GATEWAY, metavar="URL", help="where tokens go; default: %(default)s")
    parser.add_argument("--parameter", default="jwt", metavar="NAME", help="of the token; default: %(default)s")
    parser.add_argument("--delivery", choices=("redirect", "form"), default="redirect", help="default: %(default)s")
    add_claim_options(parser)
    parser.epilog = (
        "GET /login-token/?user=alice@example.org&fault=expired signs in; without a user a page asks, and lists every "
        "fault. POST /__lab__/next (JSON: user, claims, without, fault) decides the next sign-in, GET /__lab__/last "
        "tells about the last one, POST /__lab__/reset forgets. Without --key a secret is made and printed."
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if not is_web_url(options.service):
        raise WrongUsage(f"--service: {options.service!r} is not an http or https URL")
    made = "" if options.key else secrets.token_urlsafe(SECRET_BYTES)
    issuer = Issuer(read(options.key or made, options.alg), claims_of(options), options.without)
    is_local = is_loopback(options.host)
    app = create_app(issuer, options.service, options.parameter, options.delivery, any_host=not is_local)
    banner = [WARNING, *([] if is_local else [f"Every machine that reaches {options.host} can use it."])]
    banner += [f"Shared secret: {made}"] if made else []
    banner += ["Sign in at {url}/login-token/, decide the next sign-in at {url}/__lab__/next. Ctrl-C ends it."]
    serve_until_interrupted(app, options.host, options.port, "\n".join(banner))
    return 0
