"""What strangers send may be text that a database refuses. Their refusal is answered and logged all the same."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from lab.minting import mint
from shared.errors import SignatureInvalid
from sp.activity import browsing, reading
from sp.activity.browsing import Filter
from sp.activity.record import Visitor as From
from tests.sp.settings_support import CORPORATE
from tests.support.gateway import core_of, make_gateway, migrated_postgresql

TOKEN = mint({"sub": "someone"}, "the secret of a third party, which is not ours")


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        environ["SP_DATABASE_URL"] = migrated_postgresql(request.getfixturevalue("postgresql"))
    made = make_gateway(tmp_path / "odd", {"corporate": {**CORPORATE, "unsolicited": "accept"}}, **environ)
    yield made
    core_of(made).database.engine.dispose()


def token_with(claims: dict[str, Any]) -> str:
    """Return a token that no key of ours signed."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    return b".".join((*parts, b"AAAA")).decode()


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "a surrogate as the name of a JSON member": (
        {"data": f'{{"\\ud800x": "{TOKEN}"}}', "content_type": "application/json"},
        "\\ud800x",
    ),
    "a surrogate as the name of a claim": (
        {"data": {"jwt": token_with({"\ud800y": "x" * 8000})}},
        "\\ud800y",
    ),
    "a surrogate in a claim": (
        {"data": {"jwt": token_with({"iss": "\ud800z"})}},
        "signed with another key",
    ),
    "a NUL in the name of a parameter": ({"query_string": "%00w=1"}, "\\0w"),
    "a NUL in the name of a JSON member": (
        {"data": f'{{"\\u0000v": "{TOKEN}"}}', "content_type": "application/json"},
        "\\0v",
    ),
    "bytes that are no text, as a browser": (
        {"headers": {"User-Agent": "\xff\x80" * 50}, "query_string": "a=1"},
        "it has only a",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_attack_text_that_cannot_be_stored_keeps_a_refusal_out_of_the_log(app: Flask, name: str) -> None:
    request, words = REQUESTS[name]
    answer = app.test_client().post("/sso/login/jwt", **request)
    assert answer.status_code in (303, 400, 401)
    (trace,) = reading.latest(core_of(app).database, reading.Wanted(), 1)
    assert words in trace.cause
    (line,) = browsing.page(core_of(app).database, Filter(refused=True)).lines
    assert line.reference == trace.reference
    json.dumps(trace.as_json(), ensure_ascii=False).encode()


def test_attack_a_search_for_text_that_cannot_be_stored_finds_nothing(app: Flask) -> None:
    assert browsing.page(core_of(app).database, Filter(email="\0\ud800@example.org")).lines == ()


def test_attack_a_line_that_no_driver_takes_leaves_the_refusal_a_refusal(app: Flask) -> None:
    found_by = core_of(app).logbook.note_refusal(SignatureInvalid("x"), From(), reference="\ud800")
    assert found_by == "\ud800"
