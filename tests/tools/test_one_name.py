"""Our own names below one package: every spelling of an import, names in texts, and what looks like one and is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.one_name import NameLeft, OneName

MODULES = ("sp/gateway/middleware.py", "sp/views/sso.py", "shared/logs.py", "idp/stores/directory.py")


@pytest.fixture
def names(tmp_path: Path) -> OneName:
    for module in MODULES:
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    return OneName(tmp_path)


@pytest.mark.parametrize(
    ("here", "installed"),
    [
        ("from sp.gateway import Gateway", "from lychgate.sp.gateway import Gateway"),
        ("from sp import config as settings", "from lychgate.sp import config as settings"),
        ("from sp.views import (\n    sso,  # the door\n)", "from lychgate.sp.views import (\n    sso,  # the door\n)"),
        ("import sp", "from lychgate import sp"),
        ("import sp as gateway", "import lychgate.sp as gateway"),
        ("import sp.views.sso as sso", "import lychgate.sp.views.sso as sso"),
        ("import sp.views.sso", "import lychgate.sp.views.sso; from lychgate import sp"),
        ("import os, shared.logs as logs", "import os; import lychgate.shared.logs as logs"),
        ("if late: import idp; import os", "if late: from lychgate import idp; import os"),
        ("def f():\n    from idp import people", "def f():\n    from lychgate.idp import people"),
        ("x = 'shared.logs.LineFormatter'", "x = 'lychgate.shared.logs.LineFormatter'"),
        ("x = 'idp.stores.directory:open_it'", "x = 'lychgate.idp.stores.directory:open_it'"),
        ("x = f'{{a}} {y} in sp.gateway'", "x = f'{{a}} {y} in lychgate.sp.gateway'"),
        ("x = f'sp.views.{name}'", "x = f'lychgate.sp.views.{name}'"),
        ('"""See\n`sp.gateway`."""', '"""See\n`lychgate.sp.gateway`."""'),
        ("x = 1  # see sp.gateway", "x = 1  # see lychgate.sp.gateway"),
        ("x = 'flask --app sp users list'", "x = 'flask --app lychgate.sp users list'"),
    ],
)
def test_a_name_of_ours_is_changed_in_every_spelling(names: OneName, here: str, installed: str) -> None:
    assert names.python(here, "sp/x.py") == installed


@pytest.mark.parametrize(
    "source",
    [
        "from spam.eggs import ham",
        "import sphinx, sharedmem",
        "from . import sp",
        "from other.sp import x",
        "def f():\n    yield from sp.views",
        "raise Refused() from sp.error",
        "sp = 1; x = sp.gateway",
        "x = 'sp.sqlite3'",
        "x = 'https://example.org/sp.gateway'",
        "x = 'sp/templates', 'extensions', 'sp'",
        "x = 'my.sp.gateway'",
        "x = 'flask --app spam'",
    ],
)
def test_what_is_not_a_name_of_ours_stays(names: OneName, source: str) -> None:
    assert names.python(source, "sp/x.py") == source


@pytest.mark.parametrize(
    "source",
    ["import_module(f'shared.{kind}')", "importlib.import_module('sp')"],
)
def test_a_module_name_that_cannot_be_changed_stops_the_build(names: OneName, source: str) -> None:
    with pytest.raises(NameLeft, match=r"^sp/x\.py:2: "):
        names.python(f"\n{source}", "sp/x.py")


def test_lines_end_where_python_ends_them(names: OneName) -> None:
    """A form feed and the separators of Unicode do not end a line."""
    source = "x = '\u2028\x0c sp.gateway'\nimport sp\n"
    assert names.python(source, "x.py") == "x = '\u2028\x0c lychgate.sp.gateway'\nfrom lychgate import sp\n"


def test_commands_in_pages_are_changed(names: OneName) -> None:
    page = "<code>flask --app sp users</code> sp.gateway <a href='/sp'>"
    assert names.text(page) == "<code>flask --app lychgate.sp users</code> sp.gateway <a href='/sp'>"
