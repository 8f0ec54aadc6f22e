"""Pages as a person without JavaScript uses them, through Flask's test client: read, fill in, send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Protocol

from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from lab.cast import CAROL, Person


@dataclass
class Form:
    """A form of a page with what it would send. `buttons` are the names and values of those that have one."""

    action: str
    fields: MultiDict[str, str] = field(default_factory=MultiDict)
    buttons: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)

    def fill(self, **values: str | list[str] | None) -> Form:
        """Type values; a list for several boxes, None to leave a box empty. Unknown names are an error of the test."""
        for name, value in values.items():
            name = name.replace("__", "-")
            assert name in self.fields or name in self.choices, f"the form has no field {name}"
            self.fields.setlist(name, value if isinstance(value, list) else [] if value is None else [value])
        return self


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.texts: list[str] = []
        self._form: Form | None = None
        self._select = self._textarea = ""
        self._disabled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        if tag == "form" and a.get("class") != "themes":  # every page has that one in its foot
            self._form = Form(a["action"])
            self.forms.append(self._form)
        if tag == "fieldset" and (self._disabled or "disabled" in a):
            self._disabled += 1
        if self._form is None or self._disabled:
            return
        name, value = a.get("name", ""), a.get("value", "")
        if tag == "input" and name and a.get("type") == "checkbox":
            self._form.choices.setdefault(name, []).append(value)
            if "checked" in a:
                self._form.fields.add(name, value)
        elif tag == "input" and name:
            self._form.fields.add(name, value)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            self._form.choices.setdefault(self._select, []).append(value)
            if "selected" in a or self._select not in self._form.fields:
                self._form.fields[self._select] = value
        elif tag == "textarea" and name:
            self._form.fields.add(name, "")
            self._textarea = name
        elif tag == "button" and name:
            self._form.buttons[name] = value

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._textarea and self._form is not None:
            self._form.fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""
        elif tag == "fieldset" and self._disabled:
            self._disabled -= 1


class HasText(Protocol):
    """An answer with a page, of whatever client."""

    @property
    def text(self) -> str: ...


def forms_of(response: HasText) -> list[Form]:
    """Return the forms of a page, without the choice of light and dark in its foot."""
    reader = _Reader()
    reader.feed(response.text)
    return reader.forms


def text_of(response: TestResponse) -> str:
    """Return what a person reads on a page, with single spaces."""
    reader = _Reader()
    reader.feed(response.text)
    return " ".join(" ".join(reader.texts).split())


class Visitor:
    """A person at a browser."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.page: TestResponse = client.get("/healthz")

    def open(self, address: str) -> TestResponse:
        """Open a page, following redirects within the gateway."""
        self.page = self.client.get(address, follow_redirects=True)
        return self.page

    def form(self, action: str) -> Form:
        """Return the form of the present page that goes to *action*."""
        found = [form for form in forms_of(self.page) if form.action == action]
        assert found, f"no form goes to {action}, but to: {[form.action for form in forms_of(self.page)]}"
        return found[0]

    def send(self, form: Form, button: str = "", *, follow: bool = True) -> TestResponse:
        """Send *form*, by the *button* with that name if it is given."""
        fields = form.fields.copy()
        if button:
            fields[button] = form.buttons[button]
        self.page = self.client.post(form.action, data=fields, follow_redirects=follow)
        return self.page

    @property
    def text(self) -> str:
        """What the present page says."""
        return text_of(self.page)

    def lines(self, word: str) -> Iterator[str]:
        """Yield the lines of the present page's source that have *word*."""
        return (line for line in self.page.text.splitlines() if word in line)

    def sign_in(self, person: Person = CAROL) -> Visitor:
        """Sign in by the local form."""
        self.open("/login?no_sso")
        self.send(self.form("/login").fill(email=person.email, password=person.password), follow=False)
        assert self.page.status_code == 303, self.text
        return self
