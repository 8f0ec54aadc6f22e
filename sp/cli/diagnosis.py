"""`flask --app sp inspect` and `check-idp`: find the errors of a token, or of an identity provider."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from shared.cli_output import as_json, fail, print_json, read_password, say
from shared.clock import time_now
from shared.errors import Rejection
from shared.keys import KeySet
from sp.cli.own_url import own_url
from sp.current import components
from sp.diagnosis.inspector import Finding, inspect, passes
from sp.providers.registry import Trusted
from sp.signin.verification import verify

MARKS = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped", "advice": "advice "}
_provider = click.option(
    "--provider", "name", metavar="NAME", help="Name of the provider. Default: the default provider."
)


@click.command("inspect")
@_provider
@click.option("--at", type=float, metavar="SECONDS", help="Check as of this time (seconds since 1970) instead of now.")
@click.argument("token")
@as_json
@with_appcontext
def inspect_token(name: str | None, at: float | None, token: str, as_json: bool) -> None:
    """Run every check on TOKEN, and say what to do about each check that failed. The token is not spent.

    TOKEN may also be a whole URL that has the token as a parameter. If TOKEN is -, the token is read from standard
    input, which keeps it out of the process list and the shell history.

    Example: flask --app sp inspect --provider corporate - < token.txt
    """
    trusted = _find(name)
    token = _token_in(sys.stdin.read() if token == "-" else token, trusted.provider.token_parameter)
    now = time_now() if at is None else at
    keys = _keys(trusted)
    findings = inspect(token, trusted.provider, keys, now)
    if keys is not None and passes(findings):
        findings.append(_spent(token, trusted, keys, now))
    print_findings(findings, as_json, provider=trusted.provider.name)


@click.command("check-idp")
@_provider
@click.option("--email", required=True, help="E-mail address of a test person at the identity provider.")
@click.option("--password-stdin", is_flag=True, required=True, help="Read the person's password from standard input.")
@as_json
@with_appcontext
def check_idp(name: str | None, email: str, password_stdin: bool, as_json: bool) -> None:
    """Sign in at the identity provider as a person would, and grade what it sends. The gateway opens no session.

    Example: flask --app sp check-idp --provider corporate --email tester@example.com --password-stdin < password.txt
    """
    from sp.diagnosis import conformance  # imported here, because workers do not need it
    from sp.diagnosis.journey import Credentials

    trusted = _find(name)
    config = components().config
    suffixes = ("", f"/{trusted.provider.name}") if _is_default(trusted) else (f"/{trusted.provider.name}",)
    paths = [f"{config.prefix}{path}{suffix}" for path in ("/sso/login/jwt", "/access/jwt") for suffix in suffixes]
    credentials = Credentials(email, read_password())
    findings = conformance.check_idp(trusted.provider, _keys(trusted), credentials, own_url(config), paths)
    print_findings(findings, as_json, provider=trusted.provider.name, grade=conformance.grade(findings))


def _find(name: str | None) -> Trusted:
    """Return the provider, enabled or not, or exit with status 1."""
    try:
        return components().provider_registry.find(name)
    except Rejection as rejection:
        fail(f"{rejection.code}: {rejection.detail}")


def _is_default(trusted: Trusted) -> bool:
    try:
        return components().provider_registry.find(None).provider.name == trusted.provider.name
    except Rejection:
        return False


def _keys(trusted: Trusted) -> KeySet | None:
    try:
        return trusted.keys()
    except Rejection as rejection:
        say(f"{rejection.code}: {rejection.detail}", err=True)
        return None


def _token_in(text: str, parameter: str) -> str:
    """Return the token in *text*, which may be a URL that a browser was sent to."""
    found = re.search(rf"[?&#]{re.escape(parameter)}=([^&#\s]+)", text.strip())
    return found.group(1) if found else text.strip()


def _spent(token: str, trusted: Trusted, keys: KeySet, now: float) -> Finding:
    """Tell whether a good token was used before, without using it."""
    try:
        use = components().sign_in.first_use(verify(token, trusted.provider, keys, now).token_key)
    except Rejection as rejection:
        return Finding("unspent", "failed", rejection.detail, rejection.remedy, rejection.code)
    if use is None:
        return Finding("unspent", "passed", "the token is not spent")
    remedy = "Create a new token for each request: a token that is sent again is rejected."
    return Finding("unspent", "failed", "the token was already used", remedy, "token_replayed")


def print_findings(findings: Sequence[Finding], as_json: bool, **about: str) -> None:
    """Print the findings and exit, with status 0 if none failed, else with 1."""
    good = passes(list(findings))
    if as_json:
        print_json({**about, "passed": good, "findings": [asdict(f) for f in findings]})
        sys.exit(0 if good else 1)
    for finding in findings:
        doubt = " (unverified)" if finding.unverified else ""
        code = f" [{finding.code}]" if finding.code else ""
        say(f"{MARKS[finding.outcome]}  {finding.check}: {finding.explanation}{code}{doubt}")
        if finding.remedy and finding.outcome in ("failed", "advice"):
            say(f"         -> {finding.remedy}")
    counts = {outcome: sum(f.outcome == outcome for f in findings) for outcome in ("passed", "failed", "advice")}
    say(", ".join([*(f"{n}: {v}" for n, v in about.items()), *(f"{v} {n}" for n, v in counts.items())]))
    sys.exit(0 if good else 1)
