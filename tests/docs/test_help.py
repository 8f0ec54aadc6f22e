"""Every command of both programs has an example in its help, which it takes, and JSON for programs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import idp
import idp.config
from sp.app import create_app
from sp.config import load

NO_CHOICE = ("activity export", "users export", "doctor-echo")  # JSON in any case; a server


def every(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below *command*, with its name as it is typed."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if (inner := command.get_command(context, name)) is not None:
            yield from every(inner, (*path, name))


@pytest.mark.parametrize("program", ["sp", "idp"])
def test_every_command_has_an_example_in_its_help_which_it_takes(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program == "sp":
        app = create_app(load({"SP_INSTANCE": str(tmp_path)}))
    else:
        app = idp.create_app(idp.config.load({"IDP_INSTANCE": str(tmp_path)}))
    monkeypatch.chdir(tmp_path)
    found = dict(every(app.cli))
    assert len(found) > 10
    for name, command in found.items():
        (example,) = re.findall(r"^ *Example: (.*)$", command.help or "", re.MULTILINE) or [name]
        begin = f"flask --app {program} {name}"
        assert f"{example} ".startswith(f"{begin} "), f"{name} has no example"
        words = shlex.split(re.split(" [<>] ", example.removeprefix(begin))[0])
        for file in (word for word in words if word.endswith(".toml")):
            Path(file).touch()
        command.make_context(name, words)  # raises UsageError
        assert ("--json" in [option for parameter in command.params for option in parameter.opts]) != (
            name in NO_CHOICE
        )
        assert "Example: " in command.get_help(click.Context(command, info_name=name))
