"""Names and flags of cookies: assembled in one place, listed in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.wrappers import Response

from lab.programs import ROOT
from shared.cookies import clear_cookie, form_cookie, full_name, set_cookie
from sp.sessions import cookies as cookies_of_the_gateway
from sp.sessions.cookies import ours_set_by, without_ours

FLAGS = "shared/cookies.py"
NAMES = "sp/sessions/cookie_names.py"
PROSE = (  # explain the prefix or the flags to people
    *("sp/known_settings.py", "idp/known_settings.py"),
    *("sp/diagnosis/doctor/remedies.py", "sp/diagnosis/tour.py"),
)
OF_OTHERS = (  # read the cookies of other programs, or write one that a program may lose
    *("sp/diagnosis/form_grades.py", "sp/diagnosis/doctor/carrying.py", "sp/gateway/doctor_echo.py"),
)
SETS_FLAGS = re.compile(r"(?i)__Host-|samesite|httponly|set_cookie|delete_cookie|SESSION_COOKIE_")
NAMES_COOKIE = re.compile(r"sp_(?:session|pending_|form|device|landed|provider|theme)\b|sp_pending_")


@pytest.mark.parametrize(
    ("https", "cross_site", "flags"),
    [
        (True, False, {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}),
        (False, False, {"HttpOnly", "Path=/", "SameSite=Lax"}),
        (True, True, {"Secure", "HttpOnly", "Path=/", "SameSite=None"}),
        (False, True, {"HttpOnly", "Path=/", "SameSite=Lax"}),
    ],
)
def test_every_cookie_is_of_this_host_and_hidden_from_scripts(https: bool, cross_site: bool, flags: set[str]) -> None:
    response = Response()
    set_cookie(response, full_name("mine", https), "value", https=https, cross_site=cross_site)
    pair, *found = response.headers["Set-Cookie"].split("; ")
    assert pair == ("__Host-mine=value" if https else "mine=value")
    assert set(found) == flags


@pytest.mark.parametrize("https", [True, False])
@pytest.mark.parametrize("cross_site", [True, False])
@pytest.mark.parametrize("name", ["mine", "sp_pending_é"])
def test_a_cookie_is_written_as_werkzeug_writes_it(name: str, cross_site: bool, https: bool) -> None:
    """Without a date beside Max-Age, which goes before it (RFC 6265, 4.1.2.2): it would need a clock that is right."""
    ours, theirs, same_site = Response(), Response(), "None" if cross_site and https else "Lax"
    for value, max_age in (("aZ-0_9.x", None), ("", 0), ("x", 10)):
        set_cookie(ours, name, value, https=https, max_age=max_age, cross_site=cross_site)
        flags = {"path": "/", "secure": https, "httponly": True, "samesite": same_site}
        theirs.set_cookie(name, value, max_age=max_age, **flags)  # type: ignore[arg-type]
    expected = [re.sub(r" Expires=[^;]*;", "", header) for header in theirs.headers.getlist("Set-Cookie")]
    assert ours.headers.getlist("Set-Cookie") == expected


@pytest.mark.parametrize("value", ["a b", "a;b", 'a"', "a,b", "a=b", "é", "a\n", "a\r\nX: y", "\0"])
def test_a_value_that_must_be_quoted_is_not_written(value: str) -> None:
    response = Response()
    with pytest.raises(ValueError, match="must be quoted"):
        set_cookie(response, "mine", value, https=True)
    assert "Set-Cookie" not in response.headers


def test_a_cookie_is_cleared_under_the_same_name_and_flags() -> None:
    response = Response()
    clear_cookie(response, full_name("mine", True), https=True)
    header = response.headers["Set-Cookie"]
    assert header.startswith("__Host-mine=; ")
    assert {"Max-Age=0", "Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(header.split("; "))


def test_the_cookie_of_the_forms_has_the_same_flags() -> None:
    assert form_cookie("form", True) == {
        "SESSION_COOKIE_NAME": "__Host-form",
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
    }


def test_no_other_module_assembles_a_cookie() -> None:
    assert [found for path in sources() for found in said(path, SETS_FLAGS, allowed={FLAGS, *PROSE, *OF_OTHERS})] == []


def test_no_other_module_names_a_cookie_of_the_gateway() -> None:
    assert [found for path in sources() for found in said(path, NAMES_COOKIE, allowed={NAMES, *PROSE})] == []


def test_a_planted_cookie_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(
        '"""Talks of __Host- cookies."""\ndef f(r, name):\n    r.set_cookie(f"__Host-{name}", samesite="Lax")\n'
    )
    assert [found.rpartition(": ")[2] for found in said(planted, SETS_FLAGS, set())] == [
        "set_cookie",
        "samesite",
        "__Host-",
    ]


@pytest.mark.parametrize("https", [True, False])
def test_attack_a_cookie_of_the_list_leaks_to_the_application_or_is_planted_by_it(https: bool) -> None:
    listed = [
        value for key, value in vars(cookies_of_the_gateway).items() if re.fullmatch(r"(\w+_)?(NAME|PREFIX)", key)
    ]
    listed.remove("__Host-")
    listed.remove("sp_theme")  # light or dark is no secret, and applications may follow it
    assert {"sp_session", "sp_pending_", "sp_form", "sp_device", "sp_landed", "sp_provider"} <= set(listed)
    for name in listed:
        cookie = f"{full_name(name, https)}=secret"
        assert without_ours(f"a=1; {cookie}; b=2") == "a=1; b=2"
        assert ours_set_by(f"{cookie}; Path=/") == name


def sources() -> Iterator[Path]:
    for part in ("shared", "sp", "idp", "lychgate"):
        yield from (path for path in sorted((ROOT / part).rglob("*.py")) if "tests" not in path.parts[:-1][-1:])


def said(path: Path, pattern: re.Pattern[str], allowed: set[str]) -> Iterator[str]:
    """Yield what the code of *path* says of *pattern*, in names and texts; docstrings and comments may talk of it."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    if name in allowed:
        return
    tree = ast.parse(path.read_text())
    prose = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if node in prose:
            continue
        match node:
            case ast.Constant(value=str(text)) | ast.Attribute(attr=text) | ast.keyword(arg=str(text)):
                if found := pattern.search(text):
                    yield f"{name}:{getattr(node, 'lineno', 0)}: {found[0]}"
