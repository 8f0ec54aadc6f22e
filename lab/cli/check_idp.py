"""`lab check-idp`: sign in at an identity provider as a person would, and grade what it sends, as a step of a CI."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlsplit

from lab.cli import WrongUsage
from lab.cli.findings import add_report_options, report
from lab.cli.token_options import KEY_HELP
from lab.keys import KeyUnreadable, text_of
from shared.keys import ALGORITHMS, KeyRefused, KeySet, load_key_set
from shared.outbound import ExchangeFailed
from shared.settings import is_web_url
from sp.diagnosis.conformance import check_idp
from sp.diagnosis.journey import Credentials
from sp.providers.jwks_client import fetch, parse_key_set
from sp.providers.presets import PRESETS
from sp.providers.provider import Provider
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import parse_provider


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("url", metavar="URL", help="where people sign in, with what the service adds to it")
    parser.add_argument("--email", required=True, help="of a test person there")
    parser.add_argument(
        "--password-stdin", action="store_true", required=True, help="read the password from standard input"
    )
    parser.add_argument(
        "--service",
        required=True,
        metavar="URL",
        help="where the identity provider sends tokens; nothing is sent there",
    )
    parser.add_argument("--key", metavar="K", help=f"that verifies the tokens: {KEY_HELP}; or --jwks")
    parser.add_argument("--jwks", default="", metavar="URL", help="where the identity provider publishes its keys")
    parser.add_argument("--alg", default="HS256", choices=ALGORITHMS, metavar="NAME", help="default: %(default)s")
    parser.add_argument("--parameter", default="jwt", metavar="NAME", help="of the token; default: %(default)s")
    parser.add_argument(
        "--preset", default="ispring", choices=PRESETS, help="what the service asks for; default: %(default)s"
    )
    parser.add_argument("--issuer", default="", help="iss that the service expects")
    parser.add_argument("--audience", default="", help="aud that the service expects")
    add_report_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return 1 if one failed."""
    for name in ("url", "service", "jwks"):
        if (value := getattr(options, name)) and not is_web_url(value):
            raise WrongUsage(f"{value!r} is not an http or https URL")
    provider, keys = _provider(options), _keys(options)
    service = urlsplit(options.service)
    origin = f"{service.scheme}://{service.netloc}"
    credentials = Credentials(options.email, sys.stdin.readline().rstrip("\r\n"))
    findings = check_idp(provider, keys, credentials, origin, [service.path])
    return report(findings, options, "check-idp")


def _provider(options: argparse.Namespace) -> Provider:
    settings: dict[str, Any] = {
        "preset": options.preset,
        "algorithm": options.alg,
        "login_url": options.url,
        "token_parameter": options.parameter,
        "deliveries": ["query", "form"],
    }
    if options.issuer:
        settings["issuer"] = options.issuer
    if options.audience:
        settings["audience"] = options.audience
    try:
        return parse_provider("checked", settings)
    except ProviderRefused as error:
        raise WrongUsage(str(error)) from None


def _keys(options: argparse.Namespace) -> KeySet:
    if bool(options.key) == bool(options.jwks):
        raise WrongUsage("give either --key or --jwks")
    try:
        if options.key:
            return load_key_set([text_of(options.key)], options.alg, allow_short_secret=True)
    except (KeyRefused, KeyUnreadable) as error:
        raise WrongUsage(f"--key: {error}") from None
    try:
        return parse_key_set(fetch(options.jwks), options.alg)
    except ExchangeFailed as error:
        raise WrongUsage(f"--jwks: {error}") from None
