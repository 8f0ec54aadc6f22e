"""The page that asks "Continue as X?", read and answered as a browser without scripts does."""

from __future__ import annotations

from lab.pages import forms_of

CONTINUE, NOT_ME = "continue", "not-me"


def answer_of(page: str, answer: str = CONTINUE) -> tuple[str, dict[str, str]]:
    """Return the URL and the fields that the button for *answer* sends."""
    return next((form.action, form.fields) for form in forms_of(page) if form.fields.get("answer") == answer)
