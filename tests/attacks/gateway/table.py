"""The attack table: what is sent, and the one thing that must hold for every response.

The application sees the true identity or none, and it is reached only where the rules let that identity in, by its own
reading of the path. A server that refuses an attack by itself is as good as the gateway.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from lab.cast import ALICE, CAROL
from tests.attacks.gateway.raw import Reply

RULES: list[dict[str, Any]] = [
    {"path": "/public/", "allow": "anyone"},
    {"path": "/admin/", "allow": {"groups": ["admins"]}},
]

NAMES = """
Remote-User Remote_User REMOTE_USER remote-user remote.user Remote--User Remote-Email Remote-Name Remote-Groups
X-Remote-User X-Forwarded-User X_Forwarded_User X-Forwarded_User x.forwarded.user X-Forwarded-Email
X-Forwarded-Preferred-Username X-Forwarded-Groups X-Auth-Request-User X_Auth_Request_User X-Auth-Request-Email
X-Auth-Request-Groups X-Authenticated-User X-Authentik-Username X-Webauth-User X-User X-User-Email X-Groups
X-Lychgate-Assertion X_Lychgate_Assertion SSO-User sso.user Auth-Type X-Ssl-Client-S-Dn HTTP_REMOTE_USER
""".split()  # noqa: SIM905  # with one name per line, it would fill a page
NOBODY = b"carol@example.com"  # the account that the attacker wants; never signed in here


def header_lines() -> Iterator[tuple[str, list[bytes]]]:
    """Yield header lines that claim to be Carol, with a name for each."""
    for name in NAMES:
        yield name, [name.encode() + b": " + NOBODY]
    header = b"Remote-User"
    yield "twice", [header + b": " + NOBODY, header + b": " + NOBODY]
    yield "two spellings", [b"Remote-User: " + NOBODY, b"Remote_User: " + NOBODY, b"REMOTE-USER: " + NOBODY]
    yield "space before the colon", [header + b" : " + NOBODY]
    yield "tab before the colon", [header + b"\t: " + NOBODY]
    yield "folded", [header + b":\r\n " + NOBODY]
    yield "folded below another", [b"X-Other: 1\r\n Remote-User: " + NOBODY]
    yield "bare line feed", [b"X-Other: 1\nRemote-User: " + NOBODY]
    yield "bare carriage return", [b"X-Other: 1\rRemote-User: " + NOBODY]
    yield "nul in the name", [b"Remote\x00-User: " + NOBODY]
    yield "high octet in the name", [b"Remote\xadUser: " + NOBODY]
    yield "empty, then full", [header + b":", header + b": " + NOBODY]
    yield "connection option", [b"Connection: Remote-User", header + b": " + NOBODY]
    yield "access token of nobody", [b"Authorization: Bearer " + b"A" * 43]
    yield "basic", [b"Authorization: Basic Y2Fyb2xAZXhhbXBsZS5jb206eA=="]


PATHS = [
    b"/admin/x",
    b"/public/../admin/x",
    b"/public/./../admin/x",
    b"/public/%2e%2e/admin/x",
    b"/public/%2E%2E%2Fadmin/x",
    b"/public/..%2fadmin/x",
    b"/public/%252e%252e/admin/x",
    b"/public/%252e%252e%252fadmin/x",
    b"/public/..;/admin/x",
    b"/public/%2e%2e;x=1/admin/x",
    b"/public\\..\\admin\\x",
    b"/public/%5c..%5cadmin/x",
    b"/public/%c0%ae%c0%ae/admin/x",
    b"/public/%c0%af../admin/x",
    b"/public/%uff0e%uff0e/admin/x",
    b"/public/\xef\xbc\x8e\xef\xbc\x8e/admin/x",
    b"//admin/x",
    b"///admin/x",
    b"/.//admin/x",
    b"//public/../admin/x",
    b"/admin//x",
    b"/./admin/x",
    b"/%61dmin/x",
    b"/%2561dmin/x",
    b"/%61%64%6d%69%6e/x",
    b"/admin%2fx",
    b"/admin%00/x",
    b"/admin/x%00.css",
    b"/public/x%00/../../admin/x",
    b"/admin/x#/public/",
    b"/admin/x?/public/",
    b"/public/?/../admin/x",
    b"/admin;/x",
    b"/admin;a=b/x",
    b"/public/x\t/../../admin/x",
    b"/public/%0d%0aRemote-User:%20carol@example.com",
    b"/public/%0a../admin/x",
    b"/public/\x80\xff",
    b"/\xef\xbd\x81dmin/x",
    b"admin/x",
    b"public/../admin/x",
    b"http://127.0.0.1/admin/x",
    b"http://evil.example/admin/x",
    b"http://evil.example/public/../admin/x",
    b"HTTP://127.0.0.1/public/x",
    b"https:admin/x",
    b"*",
    b"/../admin/x",
    b"/public/" + b"a/../" * 50 + b"../admin/x",
    b"/page",
    b"/public/page",
    b"/public%2fx",
    b"/public%2F",
    b"/public%2fx?/public/",
    b"/public%252fx",
    b"/public%5cx",
    b"/public%3bx/y",
    b"/public%3fx",
    b"/%70ublic/x",
    b"/%70ublic%2fx",
    b"http://127.0.0.1/public%2fx",
    b"http://evil.example/public%2fx",
    b"/%2fpublic/x",
    b"/x%2f..%2fpublic/y",
]
PATH_HEADERS: list[list[bytes]] = [
    [],
    [b"SCRIPT_NAME: /public", b"PATH_INFO: /public/x"],
    [b"Script-Name: /public"],
    [b"X-Script-Name: /public"],
    [b"X-Forwarded-Prefix: /public"],
    [b"X-Original-URL: /public/x", b"X-Rewrite-URL: /public/x"],
    [b"X-Forwarded-Uri: /public/x", b"X-Forwarded-Method: GET"],
    [b"X-HTTP-Method-Override: OPTIONS"],
]


def cookies(secret: str, other: str, *, last_line_only: bool = False) -> Iterator[tuple[str, list[bytes], bool]]:
    """Yield Cookie lines with a name, and whether they count as Alice's session. *other* is Carol's secret.

    *last_line_only*: the server hands over the last of two Cookie lines, so the first cannot be seen (cheroot).
    """
    alice, carol = secret.encode(), other.encode()
    good = b"sp_session=" + alice
    yield "good", [b"Cookie: " + good], True
    yield "among others", [b"Cookie: a=b; " + good + b"; c=d"], True
    yield "same twice", [b"Cookie: " + good + b"; " + good], True
    yield "two lines", [b"Cookie: a=b", b"Cookie: " + good], True
    yield "none", [], False
    yield "empty", [b"Cookie: sp_session="], False
    yield "two different", [b"Cookie: " + good + b"; sp_session=" + carol], False
    yield "two different, junk first", [b"Cookie: sp_session=x; " + good], False
    yield "two lines that differ", [b"Cookie: " + good, b"Cookie: sp_session=x"], False
    yield "two lines that differ, turned", [b"Cookie: sp_session=x", b"Cookie: " + good], last_line_only
    yield "comma", [b"Cookie: " + good + b",sp_session=" + carol], False
    yield "quoted", [b'Cookie: sp_session="' + alice + b'"'], False
    yield "case", [b"Cookie: SP_SESSION=" + alice], False
    yield "space in the name", [b"Cookie: sp_session =" + alice], False
    yield "host prefix", [b"Cookie: __Host-sp_session=" + alice], False
    yield "pending id", [b"Cookie: sp_pending_1=" + alice], False
    yield "truncated", [b"Cookie: sp_session=" + alice[:-1]], False
    yield "longer", [b"Cookie: sp_session=" + alice + b"A"], False
    yield "percent-encoded", [b"Cookie: sp_session=%" + b"%02X" % alice[0] + alice[1:]], False
    yield "high octets", [b"Cookie: sp_session=" + b"\xe9" * 43], False
    yield "nul", [b"Cookie: sp_session=" + alice + b"\x00"], False
    yield "hash of the id", [b"Cookie: sp_session=" + b"0" * 43], False
    yield "sql", [b"Cookie: sp_session=' OR 1=1 --"], False
    yield "very long", [b"Cookie: sp_session=" + b"A" * 20000], False
    yield "underscore header", [b"Cookie_: " + good], False
    yield "x-cookie", [b"X-Cookie: " + good], False


@dataclass(frozen=True)
class Outcome:
    """What the application was told of identity, and by which names."""

    who: str | None
    path: str


def check(reply: Reply, who: str | None, spoken: str = "") -> None:
    """Assert that the application, if it was reached, saw *who* or no identity, and that the rules allowed it."""
    by_the_server = reply.head.startswith(b"HTTP/1.1 500 Bad Request")  # gunicorn, of a SCRIPT_NAME that it refuses
    assert reply.status != 500 or by_the_server, (spoken, reply)
    told = reply.told
    if told is None:
        assert NOBODY not in reply.head, (spoken, reply)
        return
    seen = {value for value in (told["remote_user"], told["user"]) if value}
    assert seen <= {who}, (spoken, told)
    assert told["auth_type"] in (None, "jwt-sso"), (spoken, told)
    assert CAROL.email not in repr({k: v for k, v in told["headers"].items() if is_claim(k)}), (spoken, told)
    for path in as_applications_read(told["path"]) | as_raw_routers_read(told["raw"]):
        allowed = may_see(path, next(iter(seen), None))
        assert allowed, (spoken, path, told)


def is_claim(key: str) -> bool:
    """Tell whether a header is one by which the application could be told who is there."""
    return key not in ("HTTP_AUTHORIZATION", "HTTP_CONNECTION", "HTTP_X_OTHER")


def as_applications_read(path: str) -> set[str]:
    """Return what an application may make of a path: as it is, decoded again, normalised, without parameters."""
    once = {path, unquote(path), unquote(unquote(path))}
    without = {re.sub(r";[^/]*", "", reading) for reading in once}
    return {posixpath.normpath(reading.replace("\\", "/")) + "/" for reading in once | without}


def as_raw_routers_read(target: str | None) -> set[str]:
    """Return the path by which an application decides that routes what the request line said, before it decodes."""
    if target is None:
        return set()
    return {re.sub(r"\A[a-z]+://[^/?#]*", "", target, flags=re.IGNORECASE).partition("?")[0] or "/"}


def may_see(path: str, who: str | None) -> bool:
    """Tell whether the rules allow *who* to see *path*, without using the gateway's own code."""
    path = "/" + path.lstrip("/")
    if path.startswith("/public/"):
        return True
    if path.startswith("/admin/"):
        return who == CAROL.email
    return who in (ALICE.email, CAROL.email)
