"""Check an installation: flask --app idp doctor. Each finding names the check that failed, and the remedy.

This command checks only the identity provider: settings, files, database, directory of people, services and their keys.
To check whether a gateway accepts our tokens, run `flask --app sp check-idp` at the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from idp.context import context
from idp.people import DirectoryUnavailable
from idp.services import Service, warnings_about
from idp.stores import database
from shared.cli_output import as_json, fail, print_json, say
from shared.keys import KeyRefused
from shared.private_files import exposures
from shared.settings import is_loopback, is_web_url

NOT_A_PERSON = "doctor@lychgate.invalid"  # RFC 2606: .invalid names do not exist


@click.command("doctor")
@as_json
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check this installation: settings, files, database, people, services. Status 1 if there is a finding.

    Example: flask --app idp doctor
    """
    findings = [{"check": check, "finding": finding} for check, look in CHECKS.items() for finding in look()]
    if as_json:
        print_json({"passed": not findings, "checks": list(CHECKS), "findings": findings})
    else:
        failed = {finding["check"] for finding in findings}
        width = max(map(len, CHECKS))
        for check in CHECKS:
            if check not in failed:
                say(f"passed  {check.ljust(width)}")
            for finding in (found["finding"] for found in findings if found["check"] == check):
                say(f"FAILED  {check.ljust(width)}  {finding}")
    if findings:
        fail(f"findings: {len(findings)}")


def _secret_key() -> Iterator[str]:
    if context().settings.demo:
        yield "IDP_SECRET_KEY is not set, so this is a demo. Set it: openssl rand -base64 48"


def _https() -> Iterator[str]:
    url = urlsplit(context().settings.external_url)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        yield f"{url.geturl()} is not https: passwords and cookies travel in the open. Set IDP_EXTERNAL_URL to https"


def _private_files() -> Iterator[str]:
    yield from exposures(context().settings.instance, context().settings.database_url)


def _database() -> Iterator[str]:
    yield from database.missing(context().services)


def _clock() -> Iterator[str]:
    yield from database.warnings()


def _people() -> Iterator[str]:
    """Ask the directory, which may be the integrator's code, for a person that does not exist."""
    try:
        found = context().people.find(NOT_A_PERSON)
    except DirectoryUnavailable as error:
        yield f"the directory does not answer: {error}"
    except Exception as error:  # an integrator's directory may raise anything
        yield f"find() raised {type(error).__name__}: only DirectoryUnavailable may leave it"
    else:
        if found is not None:
            yield f"find({NOT_A_PERSON!r}) returned a person: it must return None for people who do not exist"


def _services() -> Iterator[str]:
    services = context().services.all()
    if not services:
        yield "no service is registered: flask --app idp services apply FILE.toml"
    for service in services:
        yield from _of_service(service)
    yield from warnings_about(services)


def _of_service(service: Service) -> Iterator[str]:
    if not is_web_url(service.return_url):
        yield f"{service.name}: the return URL {service.return_url} is not an absolute http or https URL"
    try:
        service.signing_key(context().now())
    except KeyRefused as refusal:
        yield f"{refusal}: flask --app idp keys rotate {service.name}"


CHECKS: dict[str, Callable[[], Iterator[str]]] = {
    "secret_key": _secret_key,
    "https": _https,
    "private_files": _private_files,
    "database": _database,
    "clock": _clock,
    "people": _people,
    "services": _services,
}
