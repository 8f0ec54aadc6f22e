"""Bring the catalogues of all languages up to date with the source: `python -m tools.translations`.

The command adds each new text with an empty translation, and removes texts that are no longer used. It never guesses a
translation from a similar text. tests/test_translations.py fails until every text is translated.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

import shared.throttling  # noqa: F401  # the import defines another rejection
from shared.errors import Rejection
from shared.languages import ENGLISH, LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("shared", "sp", "idp")
NOT_TRANSLATED = ("sp/templates/sp/settings/", "sp/admin/", "sp/cli/", "idp/tests/", "idp/cli")
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext.babel_extract")]
OPTIONS = {"**/templates/**.html": {"trimmed": "true", "silent": "false"}}
KEYWORDS: dict[str, None] = {"_": None, "gettext": None, "N_": None, "Phrase": None}
HEADER = 'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def main() -> None:
    """Write every catalogue again. Existing translations are kept."""
    for part in PARTS:
        wanted = texts_of(part)
        for language in LANGUAGES:
            if language != ENGLISH:
                update(path_of(part, language), language, wanted)


def texts_of(part: str) -> list[str]:
    """Return the texts of one part of the source that pages show, sorted."""
    found = {text for text in extracted(part) if text.strip()}
    if part == "shared":
        found.update(text for cls in rejections(Rejection) for text in (cls.explanation, cls.remedy))
    return sorted(found)


def extracted(part: str) -> Iterator[str]:
    folder = ROOT / part
    for name, _line, message, _comments, _context in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
        if not f"{part}/{name}".startswith(NOT_TRANSLATED):
            yield message if isinstance(message, str) else message[0]


def rejections(cls: type[Rejection]) -> Iterator[type[Rejection]]:
    yield cls
    for below in cls.__subclasses__():
        yield from rejections(below)


def path_of(part: str, language: str) -> Path:
    return ROOT / part / "translations" / f"{language}.po"


def read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(path: Path, language: str, wanted: list[str]) -> None:
    old = read(path, language) if path.exists() else Catalog(locale=language)
    new = Catalog(locale=language)
    for text in wanted:
        known = old.get(text)
        new.add(text, known.string if known else "", flags=["python-format"] if PLACEHOLDER.search(text) else [])
    written = BytesIO()
    write_po(written, new, width=118, omit_header=True)
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER.format(language=language) + written.getvalue().decode(), "utf-8")


if __name__ == "__main__":
    main()
