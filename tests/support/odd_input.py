"""Every URL of a program, with odd values in each part of its path and each of its parameters, one at a time."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.routing import Rule
from werkzeug.test import TestResponse
from werkzeug.wsgi import ClosingIterator

from tests.support.forms import forms_of

DIGITS = "99999999999999999999"  # one more digit than a 64-bit number has
ODD = (DIGITS, f"-{DIGITS}", "a\0b")
READ = re.compile(r"""request\.(?:args|form|values)(?:\.get|\.getlist)?[(\[]"(\w+)"|"(\w+)" (?:not )?in request\.""")


@dataclass(frozen=True)
class Sent:
    """One odd request, and its answer."""

    method: str
    path: str
    part: str
    value: str
    answer: TestResponse

    @property
    def shown(self) -> str:
        return f"{self.method} {self.path} {self.part}={self.value[:30]!r}: {self.answer.status_code}"


def sweep(app: Flask, client: FlaskClient, parts: Mapping[str, str], enter: Callable[[], str]) -> Iterator[Sent]:
    """Send odd values to every URL of *app*.

    *parts* are good values for the parts of paths. *enter* signs the person at *client* in, where that is needed again,
    and returns the hidden field of the forms.
    """
    for rule in app.url_map.iter_rules():
        if "static" in rule.endpoint or rule.endpoint.endswith("bootstrap_css"):
            continue
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            csrf_token = enter()
            for part in rule.arguments - set(rule.defaults or ()):
                for value in ODD:
                    path = _path(rule, {**parts, part: value})
                    answer = _without_end(client.open(path, method=method, data={"csrf_token": csrf_token}))
                    yield Sent(method, rule.rule, part, value, answer)
            yield from _in_parameters(app, rule, method, client, _path(rule, parts), csrf_token)


def _in_parameters(
    app: Flask, rule: Rule, method: str, client: FlaskClient, path: str, csrf_token: str
) -> Iterator[Sent]:
    form: MultiDict[str, str] | None = _fields(client, path)
    for name in sorted({*_names_read(app, rule), *(form or ())} - {"csrf_token"}):
        for value in ODD:
            if method == "GET":
                answer = _without_end(client.get(path, query_string={name: value}))
            else:
                form = form if form is not None else _fields(client, path)
                sent = form.copy()
                sent.setlist("csrf_token", [csrf_token])
                sent.setlist(name, [value])
                answer = client.post(path, data=sent)
                if answer.status_code < 400:
                    form = None  # after a change, the earlier form is too old
            yield Sent(method, rule.rule, name, value, answer)


def _fields(client: FlaskClient, path: str) -> MultiDict[str, str]:
    """Return what the form at *path* would send."""
    page = _without_end(client.get(path))
    if page.mimetype != "text/html":
        return MultiDict()
    forms = [form.fields for form in forms_of(page) if form.action.split("?")[0] in (path, "")]
    return forms[0] if forms else MultiDict()


def _without_end(answer: TestResponse) -> TestResponse:
    """Return *answer*, hung up if it is a live view or an export: a worker gives only two at a time."""
    if answer.mimetype in ("text/event-stream", "text/csv", "application/jsonl"):
        rest, answer.response = answer.response, []
        if isinstance(rest, ClosingIterator):
            rest.close()
        answer.close()
    return answer


def _names_read(app: Flask, rule: Rule) -> set[str]:
    """Return the parameters that the module of a URL reads."""
    view = inspect.unwrap(app.view_functions[rule.endpoint])
    module = inspect.getmodule(view)
    assert module is not None
    return {first or second for first, second in READ.findall(inspect.getsource(module))} | {"email", "return_to"}


def _path(rule: Rule, parts: Mapping[str, str]) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda part: quote(parts[part[1]], safe=""), rule.rule)
