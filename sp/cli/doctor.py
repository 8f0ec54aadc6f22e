"""`flask --app sp doctor` and `doctor-echo`: probe a deployed chain of proxies, and the application behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import click
from flask.cli import with_appcontext

from shared.cli_output import as_json, say
from shared.clock import time_now
from shared.settings import is_loopback, is_web_url
from sp.cli.diagnosis import print_findings
from sp.components import Components
from sp.current import components
from sp.diagnosis.doctor.tickets import Tickets
from sp.policy.decision import Policy, Verdict
from sp.sessions.cookies import session_cookie_name

if TYPE_CHECKING:
    from sp.diagnosis.doctor.chain import Chain
    from sp.diagnosis.inspector import Finding
    from sp.sites.site import Site


@click.command("doctor")
@click.argument("url")
@click.option(
    "--app", "application", metavar="URL", help="A page of the application, at a URL without proxy and gateway."
)
@as_json
@with_appcontext
def doctor(url: str, application: str | None, as_json: bool) -> None:
    """Send an attacker's requests to URL, through the deployed chain of proxies, and say what gets through.

    Run this command with the gateway's own settings, because it signs a ticket with SP_SECRET_KEY. The gateway shows
    what arrives only if a request has such a ticket. The command does not sign in, and changes nothing. The exit status
    is 1 if a check failed.

    \b
    flask --app sp doctor https://app.example.org
    flask --app sp doctor https://app.example.org --app http://127.0.0.1:8000/profile

    Example: flask --app sp doctor https://learn.example.com --app http://127.0.0.1:8000
    """
    from sp.diagnosis.doctor.examination import examine  # imported here, because workers do not need it

    core, chain_url = components(), _web_url(url, "URL")
    findings = examine(chain_of(chain_url, core))
    if application is not None:
        findings += _trust(_web_url(application, "--app"), core, _site(chain_url, core))
    print_findings(findings, as_json, url=url)


@click.command("doctor-echo")
@click.option("--host", default="127.0.0.1", show_default=True, help="IP to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@with_appcontext
def doctor_echo(host: str, port: int) -> None:
    """Show what arrives, in place of an application behind a forward-auth proxy, while `doctor` runs.

    Stop the application, start this command on the same port, and run `doctor`. Then stop this command, and start the
    application again. The command answers only requests with a ticket of `doctor`.

    Example: flask --app sp doctor-echo --port 8000
    """
    from sp.diagnosis.doctor.echo_server import serve

    if not is_loopback(host):
        say(f"note: {host} may be reachable from other machines; only the doctor's tickets are answered", err=True)
    config = components().config
    with serve(host, port, Tickets(config.secret_keys, config.external_url)) as server:
        say(f"Echoing at http://{host}:{port}/ for the doctor. Ctrl-C stops it.")
        server.serve_forever()


def chain_of(url: SplitResult, core: Components) -> Chain:
    """Return the chain at *url*, with the settings of this gateway and the rules of the site."""
    from sp.diagnosis.doctor.chain import Chain  # only this command needs it

    config, site = core.config, _site(url, core)
    policy = Policy(site.rules)
    return Chain(
        url,
        Tickets(config.secret_keys, config.external_url),
        site.url,
        config.prefix,
        lambda method, path: policy.decide(method, path, None).verdict is Verdict.SIGN_IN,
        session_cookie=session_cookie_name(config.https, site.cookie_suffix),
    )


def _site(url: SplitResult, core: Components) -> Site:
    """Return the site at *url*. A host that is not listed counts as home, and the first probe reports that."""
    current = core.rulebook.current
    return current.hosts.find(url.netloc) or current.home


def _trust(url: SplitResult, core: Components, site: Site) -> list[Finding]:
    from sp.diagnosis.doctor.trust import Application, ask_application

    application = Application(url, core.config.external_url, site.netloc, core.assertions.sign)
    return list(ask_application(application, int(time_now())))


def _web_url(text: str, name: str) -> SplitResult:
    if not is_web_url(text):
        raise click.BadParameter(f"{text!r} is not an http or https URL", param_hint=name)
    return urlsplit(text)
