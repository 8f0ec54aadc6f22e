"""`lab serve-sp`: an emulated service provider, as strict as its product's documents."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from lab.cli import WrongUsage
from lab.forging import ALGORITHMS
from lab.keys import KeyUnreadable
from lab.server import LOOPBACK, serve_until_interrupted
from lab.services.attempt_log import AttemptLog
from lab.services.pages import create_app
from lab.services.product import Product, Settings
from lab.services.products import PRODUCTS
from lab.services.service import Service
from lab.services.verifier import Verifier, read_verifier
from shared.clock import time_now
from shared.settings import is_web_url

SECRET_BYTES = 48
KEY_HELP = (
    "the shared secret, or the identity provider's public key (PEM or JWK), or where it is: a path, file:PATH or "
    "env:NAME; a secret is made and printed where none is given"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("name", metavar="NAME", choices=tuple(PRODUCTS), help=", ".join(PRODUCTS))
    parser.add_argument("--port", type=int, default=5002, help="0 takes a free one; default: %(default)s")
    parser.add_argument("--key", default="", metavar="K", help=KEY_HELP)
    parser.add_argument("--alg", default="", metavar="NAME", help=f"{', '.join(ALGORITHMS)}; default: by the key")
    parser.add_argument("--login-url", default="", metavar="URL", help="where people sign in at the identity provider")
    parser.add_argument("--logout-url", default="", metavar="URL", help="where they go when they sign out")
    parser.add_argument(
        "--person",
        action="append",
        default=[],
        metavar="EMAIL",
        help="has an account, again for each; without it everyone has; only LoginRadius asks",
    )
    parser.add_argument("--json-log", type=Path, metavar="FILE", help="append each attempt as a line of JSON")
    parser.epilog = (
        "The front page says who is signed in, or which documented rule was broken. GET /__lab__/ says where tokens go "
        "and lists the rules, GET /__lab__/last tells about the last attempt, POST /__lab__/reset forgets."
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    product = PRODUCTS[options.name]
    for name, url in (("--login-url", options.login_url), ("--logout-url", options.logout_url)):
        if url and not is_web_url(url):
            raise WrongUsage(f"{name}: {url!r} is not an http or https URL")
    made = "" if options.key else secrets.token_urlsafe(SECRET_BYTES)
    verifier = _verifier(product, options, made)
    service = Service(product, verifier, Settings(options.login_url, options.logout_url, options.person), time_now)
    log = _log(options.json_log, product.name)
    if log:
        service.tell = log.write
    banner = [f"An emulator of {product.title}, for tests only."]
    banner += [f"Shared secret: {made}"] if made else []
    where = "by POST" if product.deliveries[0] == "form" else "by GET"
    banner += [f"Tokens go to {{url}}{product.token_path}, {where}, as {product.parameter}. Ctrl-C ends it."]
    try:
        serve_until_interrupted(create_app(service), LOOPBACK, options.port, "\n".join(banner))
    finally:
        if log:
            log.close()
    return 0


def _verifier(product: Product, options: argparse.Namespace, made: str) -> Verifier:
    if made and "HS256" not in product.algorithms:
        raise WrongUsage(f"--key is needed: {product.title} verifies with the identity provider's public key")
    try:
        return read_verifier(options.key or made, product.algorithms, options.alg)
    except KeyUnreadable as error:
        raise WrongUsage(f"--key: {error}") from None


def _log(path: Path | None, name: str) -> AttemptLog | None:
    try:
        return AttemptLog(path, name) if path else None
    except OSError as error:
        raise WrongUsage(f"--json-log: {error.filename}: {error.strerror}") from None
