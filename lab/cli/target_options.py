"""The options by which two commands name another service provider."""

from __future__ import annotations

import argparse

from lab.attack.run import MakeDraft
from lab.attack.target import Target
from lab.cli import WrongUsage
from lab.cli.token_options import add_token_options, draft_of, key_of
from lab.faults import FAULTS, Fault, UnknownFault, fault_named
from shared.settings import is_web_url

NOTE = (
    "Only against a service that you may test: it signs in the person, and may create accounts. What the good token "
    "holds is what is tried: with --claim iss=… and --claim aud=… also another issuer and audience, and --without jti "
    "says that the service knows no second use."
)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the URL, the delivery of a token, the valid token, and the faults to try."""
    parser.add_argument("url", metavar="URL", help="where the service takes tokens")
    add_token_options(parser)
    parser.add_argument("--parameter", default="jwt", metavar="NAME", help="of the token; default: %(default)s")
    parser.add_argument("--delivery", choices=("query", "form", "header"), default="query", help="default: %(default)s")
    parser.add_argument(
        "--start", default="", metavar="URL", help="begin each sign-in here, and use the nonce that it asks for"
    )
    parser.add_argument(
        "--page",
        default="",
        metavar="URL",
        help="a page that only signed-in people see; default: where a good token ends",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", help="try this fault only, again for each"
    )
    parser.add_argument("--skip", action="append", default=[], metavar="FAULT", help="leave this fault out")
    parser.add_argument("--strict", action="store_true", help="count every accepted fault, not only the holes")
    parser.epilog = NOTE


def target_of(options: argparse.Namespace) -> Target:
    """Return the service that the options name. Raises WrongUsage."""
    for name in ("url", "start", "page"):
        if (value := getattr(options, name)) and not is_web_url(value):
            raise WrongUsage(f"{value!r} is not an http or https URL")
    return Target(options.url, options.parameter, options.delivery, options.start, options.page)


def faults_of(options: argparse.Namespace) -> list[Fault]:
    """Return the faults to try. Raises WrongUsage for an unknown name."""
    try:
        only = [fault_named(name) for name in options.only] or list(FAULTS.values())
        skipped = {fault_named(name).name for name in options.skip}
    except UnknownFault as error:
        raise WrongUsage(str(error)) from None
    return [fault for fault in only if fault.name not in skipped]


def drafts_of(options: argparse.Namespace) -> MakeDraft:
    """Return the function that makes a new valid token at each call. Raises WrongUsage, before anything is sent."""
    key = key_of(options)
    draft_of(options, key)
    return lambda more: draft_of(options, key, more)
