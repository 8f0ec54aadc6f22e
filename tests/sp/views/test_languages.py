"""Pages come in the browser's language; answers to programs and the pages of administrators in English."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.sp.conftest import MakeGateway

GERMAN = {"Accept-Language": "de-CH,de;q=0.9,en;q=0.8"}


@pytest.fixture
def visitor(gateway: MakeGateway) -> Iterator[FlaskClient]:
    with gateway().test_client() as client:
        yield client


@pytest.mark.parametrize(
    ("language", "title"),
    [("de", "Anmelden"), ("es", "Iniciar sesión"), ("fr", "Se connecter"), ("en", "Sign in"), ("pt", "Sign in")],
)
def test_the_sign_in_page_speaks_the_language_of_the_browser(visitor: FlaskClient, language: str, title: str) -> None:
    answer = visitor.get("/login?no_sso", headers={"Accept-Language": language})
    spoken = "en" if language == "pt" else language
    assert f'<html lang="{spoken}"' in answer.text
    assert f"<h1>{title}</h1>" in answer.text
    assert answer.headers["Content-Language"] == spoken
    assert answer.headers["Vary"] == "Cookie, Accept-Language"


def test_a_rejection_is_explained_in_the_language_of_the_browser(visitor: FlaskClient) -> None:
    page = visitor.get("/access/jwt/error?code=token_expired&reference=K7WQ2MX9PA", headers=GERMAN).text
    assert "Das Token ist abgelaufen. Anmelde-Token gelten nur etwa eine Minute." in page
    assert "<code>token_expired</code>" in page


def test_a_mistake_in_a_form_is_explained_in_the_language_of_the_browser(visitor: FlaskClient) -> None:
    page = visitor.post("/login", data={"email": "alice@example.com"}, headers=GERMAN).text
    assert "Dieses Formular ist abgelaufen. Senden Sie es noch einmal." in page
    assert "Geben Sie Ihr Passwort ein." in page


def test_a_page_that_does_not_exist_is_explained_in_the_language_of_the_browser(visitor: FlaskClient) -> None:
    assert "Seite nicht gefunden" in visitor.get("/sso/no-such-page", headers=GERMAN).text


def test_programs_get_english(visitor: FlaskClient) -> None:
    answer = visitor.post("/sso/login/jwt", headers={**GERMAN, "Accept": "application/json"})
    assert answer.get_json()["error"] == "provider_unknown"
    assert "no identity provider is configured" in answer.get_json()["error_description"]
    assert "Content-Language" not in answer.headers
