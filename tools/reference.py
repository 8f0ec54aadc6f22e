"""Write the pages of docs/reference from the code, with `python -m tools.reference`.

- The names of settings come from the lists of known settings, and their defaults from an empty environment.
- URLs come from the two Flask url_maps.
- Error codes come from the error classes.
- Commands come from click and argparse.

`make docs` runs this module. A test fails if the pages in docs/reference differ from its output.
"""

import argparse
import inspect
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from flask import Flask

import idp
import idp.config
import sp.config
from idp.known_settings import NAMES as IDP_NAMES
from shared.errors import REJECTIONS
from shared.serving import command_line
from shared.setting_names import FILE, SettingNames
from sp import create_app
from sp.cli import Commands
from sp.diagnosis.doctor.tickets import OWN_PATH, PATH
from sp.gateway.denied import foreign_host, no_application, why
from sp.gateway.doctor_echo import DoctorEcho
from sp.gateway.forward_auth import ForwardAuth
from sp.known_settings import NAMES as SP_NAMES
from sp.policy.decision import SIGNED_IN, Verdict
from sp.request.trusted_proxies import OwnHost
from sp.routes import FORWARD, NGINX
from sp.views.denied import Denial

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOT_FOR_USE = {"ui", "denied"}  # blueprints: the static files of the pages, and the gateway's internal pages
OF_FLASK = {"run", "shell", "routes"}
PROGRAMS = {"sp": "gateway", "idp": "identity provider"}
PORTS = {"sp": 5000, "idp": 5001}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    with tempfile.TemporaryDirectory() as folder:
        gateway = sp.config.load({"SP_INSTANCE": folder})
        provider = idp.config.load({"IDP_INSTANCE": folder})
        apps = {"sp": create_app(gateway), "idp": idp.create_app(provider)}
        sections = {
            "settings.md": (
                "Settings",
                "From the environment, or from a file `.env` in the current folder. The environment wins.",
                [
                    *_settings("gateway", SP_NAMES, gateway, folder),
                    *_settings("identity provider", IDP_NAMES, provider, folder),
                ],
            ),
            "urls.md": (
                "URLs",
                "`SP_PREFIX` moves all URLs of the gateway. Every other path belongs to the protected application.",
                [line for name, app in apps.items() for line in _urls(PROGRAMS[name], app)],
            ),
            "errors.md": (
                "Error codes",
                "`code` on the error page, `error` in JSON. The status is that of the JSON answer.",
                list(_errors()),
            ),
            "command-line.md": (
                "Command line",
                "Exit status 0: success. 1: a finding, or a refusal with its reason. 2: wrong usage or settings.\n"
                "On a terminal, headers are bold and outcomes have a colour; `NO_COLOR=1` turns that off.\n\n"
                "The Tab key completes commands and options after these two lines, in bash (zsh: `zsh_source`, fish: "
                "`fish_source`):\n\n"
                '```bash\nexport FLASK_APP=sp          # or idp\neval "$(_FLASK_COMPLETE=bash_source flask)"\n```',
                [line for name, app in apps.items() for line in _commands(name, app)],
            ),
        }
        return {name: _page(*parts) for name, parts in sections.items()}


def _page(title: str, introduction: str, lines: Iterable[str]) -> str:
    note = "<!-- Made by tools/reference.py from the code. Change the code, then run: make docs -->"
    return "\n".join([f"# {title}", "", note, "", introduction, "", *lines]).rstrip() + "\n"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _settings(program: str, names: SettingNames, defaults: object, folder: str) -> Iterator[str]:
    yield from (f"## The {program}", "")
    explained = {**names.plain, **names.secret}
    yield from _table(
        ("name", "default", "what it does"),
        ((f"`{name}`", _default(name, names, defaults, folder), explained[name]) for name in sorted(explained)),
    )
    secret = ", ".join(f"`{name}`" for name in sorted(names.secret))
    yield from (f"These may be in a file, named by the variable with `{FILE}` added: {secret}.", "")


def _default(name: str, names: SettingNames, defaults: object, folder: str) -> str:
    """Return the value that the setting has in an empty environment, in the form that a person would write."""
    value = getattr(defaults, name.removeprefix(names.prefix).lower(), "")
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    if isinstance(value, Path):
        return "`instance`"
    text = str(value or "") if not isinstance(value, int) else str(value)
    text = text.replace(str(Path(folder).resolve()), "instance").replace(folder, "instance")
    return f"`{text}`" if text not in ("", "()") else ""


def _urls(program: str, app: Flask) -> Iterator[str]:
    yield from (f"## The {program}", "")
    yield from _table(
        ("URL", "methods", "what it does"), sorted(_url_rows(app), key=lambda row: row[0].strip("`") + row[1])
    )


def _url_rows(app: Flask) -> Iterator[tuple[str, ...]]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint.split(".")[0] not in NOT_FOR_USE and rule.endpoint != "static":
            methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
            yield f"`{rule.rule}`", methods, _first_line(app.view_functions[rule.endpoint])
    if app.name == "sp":
        yield f"`{NGINX}`", "any", _first_line(ForwardAuth.nginx)
        yield f"`{FORWARD}`", "any", _first_line(ForwardAuth.forward)
        yield f"`{OWN_PATH}`", "any", _first_line(DoctorEcho.own_echo)
        yield f"`{PATH}…`", "any", _first_line(DoctorEcho.echo)


def _first_line(function: Callable[..., object]) -> str:
    return re.sub(r" \[\w+\]$", "", (inspect.getdoc(function) or "").split("\n")[0])  # drop PHP's name in brackets


def _errors() -> Iterator[str]:
    rows = ((f"`{code}`", str(kind.status), kind.explanation, kind.remedy) for code, kind in REJECTIONS.items())
    yield from _table(("code", "status", "what happened", "what to do"), rows)
    yield from ("## Requests for a page", "")
    yield "The gateway's answers in place of the application. Behind forward-auth, a foreign host has the status 403."
    yield ""
    denials = ((f"`{reason.code}`", str(reason.status), str(reason.text)) for reason in _denials())
    signed_out = (
        "`sign_in_required`",
        "401",
        "You are not signed in. A browser that opens a page is sent to sign in instead.",
    )
    yield from _table(("code", "status", "what happened, and what to do"), [signed_out, *denials])


def _denials() -> Iterator[Denial]:
    """Yield each reason for which the gateway denies a request for a page."""
    yield from (why(verdict, SIGNED_IN, None) for verdict in Verdict if verdict >= Verdict.FORBID)
    yield foreign_host("other.example.com", OwnHost("https://www.example.com"))
    yield no_application()


def _commands(program: str, app: Flask) -> Iterator[str]:
    yield from (f"## The {PROGRAMS[program]}", "")
    yield from _serving(program)
    if isinstance(app.cli, Commands):
        app.cli.load_all()
    for name in sorted(app.cli.commands.keys() - OF_FLASK):
        yield from _command(f"flask --app {program} {name}", app.cli.commands[name])


def _serving(program: str) -> Iterator[str]:
    """Yield the part about run_sp.py or run_idp.py."""
    yield from (f"### run_{program}.py", "", f"Serve the {PROGRAMS[program]}.", "")
    options = [
        option for option in command_line(None, PORTS[program])._actions if option.dest not in ("help", "version")
    ]
    yield from _table(
        ("option", "default", "meaning"),
        ((f"`{', '.join(option.option_strings)}`", _value(option), option.help or "") for option in options),
    )


def _value(option: argparse.Action) -> str:
    return "" if option.default is None else f"`{option.default}`"


def _command(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _command(f"{path} {name}", command.commands[name])
        return
    arguments = [part for part in command.params if isinstance(part, click.Argument)]
    usage = " ".join([path, *(part.human_readable_name.upper() for part in arguments)])
    yield from (
        f"### {path.split(' ', 3)[-1]} ({path.split()[2]})",
        "",
        f"`{usage}`",
        "",
        *inspect.cleandoc(command.help or "").split("\n"),
        "",
    )
    options = [part for part in command.params if isinstance(part, click.Option)]
    if options:
        yield from _table(("option", "meaning"), ((f"`{_spelled(part)}`", _meaning(part)) for part in options))


def _spelled(option: click.Option) -> str:
    takes_value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return ", ".join(option.opts) + takes_value


def _meaning(option: click.Option) -> str:
    text = option.help or {"as_json": "Print JSON."}.get(option.name or "", "")
    notes = [note for note in ("Required." if option.required else "", _shown_default(option)) if note]
    return " ".join([text, *notes]).strip()


def _shown_default(option: click.Option) -> str:
    return f"Default: {option.default}." if option.show_default else ""


if __name__ == "__main__":
    main()
