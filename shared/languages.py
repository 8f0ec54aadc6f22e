"""Show pages in the language that the browser asks for: English, German, Spanish or French.

Each part of the source has its catalogues in translations/LANGUAGE.po. A catalogue is compiled in memory when the first
page in its language is shown, so no compiled file can be out of date. Answers to programs, and pages for
administrators, are always in English. If a catalogue does not contain a text, the text is shown in English.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, has_request_context
from flask_babel import Babel, Domain, get_locale, gettext, refresh
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from shared.current import current_globals, current_request
from shared.phrases import Phrase

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de", "es", "fr")
MAX_ACCEPT_LANGUAGE = 200  # characters that are read; browsers send about 50
SHARED = Path(__file__).parent / "translations"


class Catalogues(Domain):  # type: ignore[misc]  # the package ships no types
    """The catalogues of several folders, combined."""

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__()
        self._folders = tuple(folders)

    def get_translations(self) -> NullTranslations:
        """Return the texts of the request's language."""
        locale = get_locale()
        return catalogue(self._folders, ENGLISH if locale is None else locale.language)


def install_languages(app: Flask, folders: Sequence[Path]) -> None:
    """Translate the pages of *app* with the catalogues in *folders* and in `shared/`."""
    babel = Babel(app, default_locale=ENGLISH, locale_selector=language)
    babel.domain_instance = Catalogues((SHARED, *folders))
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.globals["language"] = language
    app.jinja_env.filters["translated"] = translated
    app.config["WTF_I18N_ENABLED"] = False  # the forms' texts are in our catalogues


def language() -> str:
    """Return the language of this page."""
    if not has_request_context():
        return ENGLISH
    return current_globals().get("language") or accepted_language(current_request().headers.get("Accept-Language", ""))


def speak_english() -> None:
    """Show this page in English, whatever the browser asks for."""
    g.language = ENGLISH
    refresh()


@lru_cache(maxsize=256)
def accepted_language(header: str) -> str:
    """Return the one of our languages that an Accept-Language *header* prefers, or English if it names none.

    A region (de-AT) is ignored. Only the first MAX_ACCEPT_LANGUAGE characters are read.
    """
    for tag, quality in parse_accept_header(header[:MAX_ACCEPT_LANGUAGE], LanguageAccept):
        found = tag.partition("-")[0].lower()
        if quality > 0 and found in LANGUAGES:
            return found
    return ENGLISH


def translated(text: str | Phrase | None) -> str:
    """Return *text* in the language of the page."""
    if not text:
        return ""
    if not isinstance(text, Phrase):
        return str(gettext(text))
    values = {name: translated(value) if isinstance(value, Phrase) else value for name, value in text.values.items()}
    template = str(gettext(text.template))
    return template % values if values else template


@lru_cache(maxsize=len(LANGUAGES) * 4)
def catalogue(folders: tuple[Path, ...], language: str) -> NullTranslations:
    """Return the texts of *language* from every folder that has a catalogue for it."""
    found = NullTranslations()
    for file in (folder / f"{language}.po" for folder in folders):
        if not file.is_file():
            continue
        compiled = BytesIO()
        with file.open("rb") as source:
            write_mo(compiled, read_po(source, locale=language))
        compiled.seek(0)
        texts = Translations(compiled)
        found = found.merge(texts) if isinstance(found, Translations) else texts
    return found
