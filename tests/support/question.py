"""The page that asks "Continue as X?", read and answered as a browser without scripts does."""

from __future__ import annotations

from html.parser import HTMLParser

CONTINUE, NOT_ME = "continue", "not-me"


class Forms(HTMLParser):
    """The forms of a page: where each goes, and the hidden fields that it sends."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            assert values["method"] == "post"
            self.found.append((values["action"], {}))
        elif tag == "input" and self.found and values["type"] == "hidden":
            self.found[-1][1][values["name"]] = values["value"]


def answer_of(page: str, answer: str = CONTINUE) -> tuple[str, dict[str, str]]:
    """Return the URL and the fields that the button for *answer* sends."""
    return next((action, fields) for action, fields in Forms(page).found if fields.get("answer") == answer)
