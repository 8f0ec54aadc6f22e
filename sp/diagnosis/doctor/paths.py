"""Probe whether the application gets the path that the gateway checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from sp.diagnosis.doctor.chain import Chain
from sp.diagnosis.doctor.tickets import PATH
from sp.diagnosis.inspector import Finding
from sp.policy.decision import is_unambiguous

UNCHANGED = ("a%2Fb", "a%20b", "a;p=1/b", "caf%C3%A9", "a%3Fb", "a%23b", "a%2525b", "a:b@c", "a%2Bb+c")
TRICKS = (
    f"{PATH}../secret",
    f"{PATH}%2e%2e/secret",
    f"{PATH}..%2fsecret",
    f"{PATH}%2e%2e%2fsecret",
    f"{PATH}%252e%252e%252fsecret",
    f"{PATH}x/..;/secret",
    f"{PATH}x/..;a=b/secret",
    f"{PATH}..%5csecret",
    f"{PATH}..\\secret",
    f"{PATH}./x",
    f"{PATH}/x",
    f"{PATH}x%00.css",
    f"{PATH}x%0d%0aX-Injected:%201",
    f"/secret/..{PATH}x",
    f"/secret/%2e%2e{PATH}x",
    f"/{PATH}x",
    f"/secret//..{PATH}x",
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")  # RFC 3986, section 2.3: the same if percent-encoded
_SUBDELIMITERS = ":@!$&'()*+,;="


def as_they_arrive(chain: Chain) -> Iterator[Finding]:
    """Probe ordinary paths, which must arrive unchanged, and tricky paths, which must not arrive at all."""
    changed = []
    for rest in UNCHANGED:
        echo = chain.ask_application(rest).echo
        if echo and _same(_path(echo.target)) != _same(f"{PATH}{rest}"):
            changed.append(f"{PATH}{rest} as {_path(echo.target)}")
    yield chain.judge(
        "path_same",
        not changed,
        "paths reach the application as they were sent",
        f"the application gets another path than the gateway checked: {'; '.join(changed)}",
    )
    arrived = []
    for trick in TRICKS:
        echo = chain.ask(trick).echo
        if echo and not _is_clean(_path(echo.target)):
            arrived.append(_path(echo.target))
    yield chain.judge(
        "path_tricks",
        not arrived,
        "a path that servers read in two ways does not reach the application",
        f"the gateway rejects paths like these, and the application gets them: {', '.join(arrived)}",
    )


def _path(target: str) -> str:
    found = re.match(r"[a-z]+://[^/]*(/.*)", target)
    return (found[1] if found else target).partition("?")[0]


def _same(path: str) -> str:
    """Return *path* in one spelling: unnecessary percent-encoding decoded, the rest in capital letters."""
    return _ESCAPE.sub(_spell, path)


def _spell(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    plain = _UNRESERVED.match(character) or character in _SUBDELIMITERS
    return character if plain else found[0].upper()


def _is_clean(path: str) -> bool:
    try:
        return is_unambiguous(unquote_to_bytes(path).decode("utf-8"))
    except UnicodeError:
        return False
