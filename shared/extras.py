"""Load a package that only one kind of store needs, or say how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from shared.settings import SettingsRefused


def load_extra(package: str, extra: str, setting: str) -> ModuleType:
    """Return *package*, which the *extra* of our distribution installs. Raises SettingsRefused if it cannot be used.

    *setting* is the name of the setting that needs the package, for the message.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:  # psycopg also raises ImportError if it finds no libpq
        needs = f"{setting or 'This store'} needs the Python package {package}, which cannot be imported"
        raise SettingsRefused([f"{needs} ({error}). Run: pip install 'lychgate[{extra}]'"]) from error
