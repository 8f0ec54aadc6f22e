"""Django's settings, which a process can have only once; each test brings its own URLs."""

from typing import Any


def configure() -> None:
    """Configure Django for the tests of this process, unless that is done."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(SECRET_KEY="of these tests alone", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=())


def with_urls(*patterns: Any) -> Any:
    """Return the context in which Django has these URLs."""
    from django.test.utils import override_settings

    configure()
    return override_settings(ROOT_URLCONF=patterns)
