"""Every text that a person reads exists in every language, with the same values and the same markup in it."""

import re
from itertools import product

import pytest
from babel.messages.catalog import Catalog

from shared.languages import ENGLISH, LANGUAGES, accepted_language
from shared.phrases import Phrase
from tools.translations import PARTS, PLACEHOLDER, path_of, read, texts_of

TAG = re.compile(r"</?\w+>")
CATALOGUES = [(part, language) for part, language in product(PARTS, LANGUAGES) if language != ENGLISH]
THE_SAME_IN = {"de": {"Code", "Name"}, "es": set[str](), "fr": {"Auto", "Code", "E-mail", "Services"}}
OUR_PARTS = re.compile("gateway|identity provider|service provider", re.IGNORECASE)
ONLY_VALUES = "%(explanation)s %(remedy)s"


def catalogue(part: str, language: str) -> Catalog:
    return read(path_of(part, language), language)


@pytest.mark.parametrize(("part", "language"), CATALOGUES)
def test_every_text_is_translated_and_no_translation_is_left_over(part: str, language: str) -> None:
    """If this fails: `python -m tools.translations`, then translate the new texts in the catalogues that it changed."""
    translated = {message.id for message in catalogue(part, language) if message.id and message.string}
    assert translated == set(texts_of(part))


@pytest.mark.parametrize(("part", "language"), CATALOGUES)
def test_a_translation_has_the_values_and_the_markup_of_its_text(part: str, language: str) -> None:
    for message in catalogue(part, language):
        text, translation = str(message.id), str(message.string)
        if text:
            for pattern in (PLACEHOLDER, TAG):
                assert sorted(pattern.findall(translation)) == sorted(pattern.findall(text)), text
            assert translation.count("%") == text.count("%"), text


@pytest.mark.parametrize(("part", "language"), CATALOGUES)
def test_no_translation_is_a_guess_or_the_english_text(part: str, language: str) -> None:
    messages = [message for message in catalogue(part, language) if message.id]
    assert [message.id for message in messages if message.fuzzy] == []
    assert {m.id for m in messages if m.id == m.string} - {ONLY_VALUES} <= THE_SAME_IN[language]


@pytest.mark.parametrize("part", PARTS)
def test_no_end_user_reads_the_names_of_our_parts(part: str) -> None:
    assert [text for text in texts_of(part) if OUR_PARTS.search(text)] == []


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("en;q=0.4, es-419;q=0.9", "es"),
        ("pt-BR,pt;q=0.9", "en"),
        ("pt, es;q=0.1", "es"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("*", "en"),
        ("DE", "de"),
    ],
)
def test_the_browser_chooses_the_language(header: str, language: str) -> None:
    assert accepted_language(header) == language


@pytest.mark.parametrize("header", ["../../etc/passwd", "de\0", "\xe4", "q=;;;,,,", "x" * 100_000, "xx," * 50_000])
def test_attack_an_accept_language_of_any_shape_is_english(header: str) -> None:
    assert accepted_language(header) == "en"


def test_attack_only_the_beginning_of_a_long_accept_language_is_read() -> None:
    assert accepted_language("xx," * 100 + "de") == "en"


def test_a_phrase_is_english_for_programs() -> None:
    assert str(Phrase("it answered %(status)s", status=404)) == "it answered 404"
    assert str(Phrase("100% of it")) == "100% of it"
