"""Read the forms of a page, as a browser without scripts does."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """A form: its target, the fields that it sends, and the name of the password field."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    password: str = ""


def forms_of(page: str) -> list[Form]:
    """Return the forms of *page* that are sent by POST, in order."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form" and values.get("method", "").lower() == "post":
            self._form = Form(values.get("action", ""))
            self.forms.append(self._form)
        elif tag == "input" and self._form is not None and values.get("name"):
            self._read(values)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def _read(self, values: dict[str, str]) -> None:
        if self._form is None or (values.get("type") in ("checkbox", "radio") and "checked" not in values):
            return
        self._form.fields[values["name"]] = values.get("value", "")
        if values.get("type") == "password":
            self._form.password = values["name"]
