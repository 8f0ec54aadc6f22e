"""No return URL leads a browser to another site, and ordinary ones lead where they say."""

import os
import random
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ
from werkzeug.utils import redirect

from sp.redirects import MAX_LENGTH, add_query, is_own_path, is_plain_path, own_path
from tests.support.whatwg import UrlParser, url_parser

OURS = "https://sp.example.com"
ADDRESSES = int(os.environ.get("FUZZ_ADDRESSES", "100000"))  # how many return URLs the long test tries
BATCH = 2_000


@pytest.fixture(scope="module")
def browser_view() -> Iterator[UrlParser]:
    """Read URLs as a page of ours, deep in its folders, would follow them."""
    with url_parser(f"{OURS}/sso/login/jwt?jwt=x") as parser:
        yield parser


# --- What is taken ---


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/courses",
        "/courses/7/lessons/",
        "/a.b/..c/d../...",
        "/a;b=c/d;e",
        "/@home",
        "/:8080/x",
        "/a:b@c",
        "/search?q=//evil.example&r=\\..%5c",
        "/?next=https://evil.example",
        "/#//evil.example/..",
        "/page#section",
        "/caf%C3%A9/%E2%82%AC",
        "/100%25/x",
        "/a%20b",
        "/a%C2%A0b",
        "/zero%E2%80%8Bwidth",
        "/~user/!$&'()*+,=_-",
        "/" + "a" * (MAX_LENGTH - 1),
    ],
)
def test_an_ordinary_path_is_taken_as_it_is(path: str) -> None:
    assert own_path(path, OURS) == path
    assert is_own_path(path)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (OURS, "/"),
        (OURS + "/", "/"),
        (OURS + "/a?b#c", "/a?b#c"),
        (OURS + "?b=c", "/?b=c"),
        (OURS + "#c", "/#c"),
        ("HTTPS://SP.Example.COM/a", "/a"),
        (OURS + ":443/a", "/a"),
    ],
)
def test_an_absolute_address_of_our_own_origin_counts_as_its_path(address: str, path: str) -> None:
    assert own_path(address, OURS) == path


def test_a_port_belongs_to_the_origin() -> None:
    local = "http://127.0.0.1:5000"
    assert own_path(f"{local}/a", local) == "/a"
    assert own_path("http://127.0.0.1/a", local) is None
    assert own_path("http://127.0.0.1:50001/a", local) is None
    assert own_path("http://h:80/a", "http://h") == own_path("http://h/a", "http://h:80") == "/a"
    assert own_path("http://h:443/a", "http://h") is None
    assert own_path("https://h:80/a", "https://h") is None


@pytest.mark.parametrize("ours", ["http://host:5000", "http://host", "https://host", "https://[::1]:5000"])
@pytest.mark.parametrize("ports", [":5000:80", ":80:80", ":443:443", ":5000:443", ":80:", "::80", ":5000:5000"])
def test_attack_an_origin_with_two_ports_is_not_our_own(ours: str, ports: str) -> None:
    for host in ("http://host", "https://host", "https://[::1]"):
        assert own_path(f"{host}{ports}/x", ours) is None


# --- What is not ---


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            None,
            "courses",
            "./a",
            "../a",
            "?a",
            "#a",
            " /a",
            "/a ",
            "\t/a",
            "/a\n",
            "/\ta",
            "/a\0",
            "/a\x7f",
            "/ä",
            "/а",
        ),
        *(
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/a//b",
            "/a\\b",
        ),
        *("/%2f/evil.example", "/%2Fevil.example", "/%5cevil.example", "/%252fevil.example", "/%25255cevil.example"),
        *("/.", "/..", "/./", "/../", "/a/..", "/a/./b", "/a/../b", "/a/..;/b", "/.;x", "/..;", "/a/.."),
        *("/%2e", "/%2e%2e/", "/.%2e/a", "/%252e%252e/a", "/a/%2e%2e%3bx", "/%2e%2e%2fa"),
        *("/a%00", "/a%0d%0aSet-Cookie:x", "/a%09b", "/a%1f", "/a%7f", "/a%250d", "/a%c2%85b"),
        *(
            "https://evil.example",
            "https://evil.example/",
            "http://sp.example.com/",
            "//sp.example.com/a",
            "https:/a",
            "https:a",
        ),
        *(
            "https:///a",
            "https:\\\\sp.example.com",
            "javascript:alert(1)",
            "data:text/html,x",
            "mailto:a@b.c",
            "ftp://sp.example.com/",
        ),
        *(
            "https://sp.example.com.evil.example/",
            "https://sp.example.com@evil.example/",
            "https://user@sp.example.com/a",
        ),
        *(
            "https://sp.example.com:444/",
            "https://sp.example.com:/",
            "https://sp.example.com./",
            "https://sp.example.com//evil.example",
        ),
        *(
            "https://sp.example.com\\@evil.example",
            "https://sp.example.com/..",
            "https://evil.example#https://sp.example.com/",
        ),
        *(
            "https://sp.example.comevil",
            "https://sp.example.co",
            " https://sp.example.com/a",
            "https://sp.example.com/a\n",
        ),
        "/" + "a" * MAX_LENGTH,
        "/%" + "25" * 9 + "2e",
    ],
)
def test_anything_else_is_no_path_of_ours(address: str | None) -> None:
    assert own_path(address, OURS) is None


def test_a_path_is_judged_through_eight_decodings_and_refused_beyond() -> None:
    assert is_plain_path("/%" + "25" * 6 + "41")
    assert not is_plain_path("/%" + "25" * 7 + "41")
    for depth in range(8):
        assert not is_plain_path("/%" + "25" * depth + "2e/a")
        assert not is_plain_path("/a%" + "25" * depth + "2fb%" + "25" * depth + "2f/c")


def test_a_path_in_other_letters_is_plain() -> None:
    """The gateway asks about paths that are decoded already."""
    assert is_plain_path("/курсы/日本")
    assert not is_plain_path("/курсы\u0085")


# --- Queries ---


@pytest.mark.parametrize(
    ("address", "parameters", "result"),
    [
        ("/a", {"b": "c d"}, "/a?b=c+d"),
        ("/a?x=1", {"b": "c"}, "/a?x=1&b=c"),
        ("/a#f", {"b": "c"}, "/a?b=c#f"),
        ("/a?x#f?g", {"b": "&#?"}, "/a?x&b=%26%23%3F#f?g"),
        ("/a#f", {}, "/a#f"),
        ("https://idp.example.com", {"return_to": "https://sp.example.com/ä"}, None),
    ],
)
def test_parameters_are_added_before_the_fragment(address: str, parameters: dict[str, str], result: str | None) -> None:
    assert add_query(address, **parameters) == (result or f"{address}?return_to=https%3A%2F%2Fsp.example.com%2F%C3%A4")


# --- By the hundred thousand ---

HOSTS = (
    *("evil.example", "evil.example:443", "sp.example.com.evil.example", "sp.example.com"),
    *("127.0.0.1", "[::1]", "0x7f.1", "evil"),
)
SLASHES = (
    *("/", "//", "///", "\\", "/\\", "\\/", "/\t/", "/\n/", "／", "∕"),
    *("%2f", "%2F", "%5c", "%252f", "%255C", "/%09/"),
)
DOTS = (".", "..", "%2e", "%2e%2e", ".%2e", "%252e%252e", "..;", "..%00", "…", "。", "...")
SCHEMES = (
    *("https:", "http:", "HTTPS:", "//", "https:/", "https:\\", "https:///"),
    *("javascript:", "data:", "ws:", "file:", "blob:"),
)
NOISE = (
    *("@", ":", "?", "#", ";", "&", "=", "%", " ", "\t", "\n", "\r", "\0", "\x7f"),
    *("\u00a0", "\u2028", "\u3002", "а", "%", "%00", "%0a", "%u002f"),
)
WORDS = ("a", "courses", "login", "user@host", "x.y", "100%25", "caf%C3%A9", "~", "a;b=c", "evil.example", "index.php")


def addresses(seed: int, count: int) -> list[str]:
    """Return *count* return URLs: most from an attacker, some from honest people."""
    chance = random.Random(seed)  # noqa: S311  # the same URLs in each run
    return [_one(chance) for _ in range(count)]


def _one(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.25:  # a path with at most one thing wrong
        parts = ["/" + chance.choice(WORDS) for _ in range(chance.randint(1, 4))]
        if chance.random() < 0.6:
            parts.insert(chance.randint(0, len(parts)), chance.choice((*SLASHES, *DOTS, *NOISE)))
        text = "".join(parts)
    elif kind < 0.5:  # an absolute URL, ours or not
        foreign = chance.choice(SCHEMES) + chance.choice(SLASHES) + chance.choice(HOSTS)
        start = chance.choice((OURS, OURS, OURS.upper(), foreign))
        text = start + chance.choice(("", "/", "?", "#", *NOISE)) + chance.choice(("", *WORDS, *DOTS, *HOSTS))
    else:  # anything, after a slash or not
        kinds = (SLASHES, DOTS, NOISE, WORDS, HOSTS, SCHEMES)
        pieces = [chance.choice(chance.choice(kinds)) for _ in range(chance.randint(1, 6))]
        text = chance.choice(("/", "/", "", "\\", "%2f")) + "".join(pieces)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        text = _again(chance, text)
    return text


def _again(chance: random.Random, text: str) -> str:
    """Change one character, or encode a piece again."""
    at = chance.randint(0, len(text))
    if chance.random() < 0.5:
        strange = chr(chance.randint(0, 0x2FFF))
        return text[:at] + chance.choice(("/", "\\", ".", "%", "@", ":", "\t", "?", "#", strange)) + text[at:]
    return text[:at] + quote(text[at : at + 3].encode("utf-8", "replace"), safe="") + text[at + 3 :]


def assert_none_leaves(tried: Sequence[str], view: UrlParser) -> tuple[int, int]:
    """Fail if one that is accepted leads elsewhere; return how many were accepted, and how many would have left."""
    accepted = [(address, path) for address in tried if (path := own_path(address, OURS)) is not None]
    sent = [location(path) for _address, path in accepted]
    for (address, path), read in zip(accepted, view.read(sent), strict=True):
        assert read.origin == OURS, address
        shown = re.split("[?#]", path)[0]
        assert unquote(read.path) == unquote(shown), address  # nor does a browser find another path in it
    left = sum(read.origin not in (OURS, "") for read in view.read(tried))
    return len(accepted), left


def location(path: str) -> str:
    """Return what the browser is really sent, after Werkzeug has had its way with it."""
    return redirect(path, 303).get_wsgi_headers(create_environ("/sso/login/jwt", OURS))["Location"]


def test_of_a_hundred_thousand_addresses_none_leaves_our_origin(browser_view: UrlParser) -> None:
    accepted = left = 0
    for seed in range(-(-ADDRESSES // BATCH)):
        here, there = assert_none_leaves(addresses(seed, BATCH), browser_view)
        accepted, left = accepted + here, left + there
    assert accepted > ADDRESSES // 20, "too few were accepted to show anything"
    assert left > ADDRESSES // 10, "too few were dangerous to show anything"


PIECES = st.sampled_from([*SLASHES, *DOTS, *NOISE, *WORDS, *HOSTS, *SCHEMES, OURS]) | st.text(max_size=3)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=20))
def test_no_address_that_can_be_thought_of_leaves_our_origin(browser_view: UrlParser, tried: list[str]) -> None:
    encodable = [text for text in tried if text.isprintable() or text.encode("utf-8", "ignore").decode() == text]
    assert_none_leaves(encodable, browser_view)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("/\\.%25efa;?#@:"), max_size=30))
def test_a_path_that_is_plain_stays_plain_when_it_is_decoded(path: str) -> None:
    """So the application behind the gateway may decode it as often as it likes."""
    if is_plain_path(path):
        assert is_plain_path(unquote(path, errors="replace"))
        assert "//" not in path
