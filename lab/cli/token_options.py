"""The options by which several commands describe a valid token: its key, algorithm, person and claims."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from lab.cli import WrongUsage
from lab.drafts import PERSON, Draft, draft
from lab.forging import ALGORITHMS, ForgingKey
from lab.keys import KeyUnreadable, read_key

KEY_HELP = "the shared secret, a PEM or a JWK, or where it is: a path, file:PATH or env:NAME"


def add_token_options(parser: argparse.ArgumentParser, *, key_is_needed: bool = True) -> None:
    """Add --key, --alg, --email, --claim and --without."""
    add_claim_options(parser, key_is_needed=key_is_needed)
    parser.add_argument("--email", default=PERSON, help="the person; default: %(default)s")


def add_claim_options(parser: argparse.ArgumentParser, *, key_is_needed: bool = False) -> None:
    """Add --key, --alg, --claim and --without."""
    parser.add_argument("--key", metavar="K", required=key_is_needed, help=KEY_HELP)
    parser.add_argument("--alg", default="", metavar="NAME", help=f"{', '.join(ALGORITHMS)}; default: by the key")
    parser.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a claim, again for each; VALUE is JSON if it can be read as JSON, else text",
    )
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave a claim out")


def draft_of(options: argparse.Namespace, key: ForgingKey, more: Mapping[str, Any] | None = None) -> Draft:
    """Return the valid token that the options describe. Claims of the options replace those in *more*.

    Raises WrongUsage.
    """
    claims = {**(more or {}), **claims_of(options)}
    return draft(key, claims, without=tuple(options.without), email=options.email)


def claims_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the claims that --claim sets. Raises WrongUsage."""
    return dict(map(_claim, options.claim))


def key_of(options: argparse.Namespace) -> ForgingKey:
    """Return the key that --key and --alg name. Raises WrongUsage."""
    return read(options.key, options.alg)


def read(key: str, algorithm: str) -> ForgingKey:
    """Return the key. Raises WrongUsage."""
    try:
        return read_key(key, algorithm)
    except KeyUnreadable as error:
        raise WrongUsage(f"--key: {error}") from None


def _claim(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise WrongUsage(f"--claim {given!r}: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
