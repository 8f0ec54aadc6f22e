"""Cases about the JSON of a token, header and payload: each is signed with the right key, so only the form is wrong."""

import json
from typing import Any

from tests.attacks.case import (
    ACCEPTED,
    Case,
    Change,
    claim,
    claims_and,
    header,
    header_and,
    header_text,
    header_without,
    payload_text,
)

MALFORMED = "token_malformed"


def _nested(levels: int, opening: str = '{"a":', core: str = "1", closing: str = "}") -> Change:
    return claims_and('"x":' + opening * levels + core + closing * levels)


def _nested_header(levels: int) -> Change:
    return header_and('"x":' + "[" * levels + "]" * levels)


def _twice(name: str) -> Change:
    return lambda it: it.token(claims=f'{it.payload[:-1]},"{name}":{it.claims[name]}}}'.encode())


def _first_name(octets: bytes | str) -> Change:
    """Write the given name in these bytes, or this text, instead of the correct JSON."""
    name = octets if isinstance(octets, bytes) else octets.encode()
    return payload_text(lambda text: text.encode().replace(b"Alice", name))


def _members(name: str, *values: Any) -> tuple[Case, ...]:
    return tuple(Case(f"{name} is {json.dumps(value)[:40]}", MALFORMED, header(**{name: value})) for value in values)


HEADER_JSON = (
    Case("header: pretty-printed", ACCEPTED, header_text(lambda t: json.dumps(json.loads(t), indent=4))),
    Case("header: white space around it", ACCEPTED, header_text(lambda t: f" \r\n\t{t}\n ")),
    Case("header: members in another order", ACCEPTED, header_text(lambda t: '{"alg":"HS256","typ":"JWT"}')),
    Case("header: a member that nobody knows", ACCEPTED, header(colour="blue")),
    Case("header: as long as a header that is not remembered", ACCEPTED, header(colour="b" * 600)),
    Case("header: no JSON", MALFORMED, header_text(lambda t: "alg=HS256")),
    Case("header: nothing but spaces", MALFORMED, header_text(lambda t: "   ")),
    Case("header: the empty object", MALFORMED, header_text(lambda t: "{}")),
    Case("header: a list", MALFORMED, header_text(lambda t: '["alg"]')),
    Case("header: a list around the object", MALFORMED, header_text(lambda t: f"[{t}]")),
    Case("header: a text", MALFORMED, header_text(lambda t: '"alg"')),
    Case("header: a number", MALFORMED, header_text(lambda t: "256")),
    Case("header: null", MALFORMED, header_text(lambda t: "null")),
    Case("header: true", MALFORMED, header_text(lambda t: "true")),
    Case("header: something behind it", MALFORMED, header_text(lambda t: t + "x")),
    Case("header: a second object behind it", MALFORMED, header_text(lambda t: t + t)),
    Case("header: a NUL behind it", MALFORMED, header_text(lambda t: t + "\0")),
    Case("header: a comma too many", MALFORMED, header_text(lambda t: t[:-1] + ",}")),
    Case("header: a comment", MALFORMED, header_text(lambda t: t[:-1] + "/* */}")),
    Case("header: single quotes", MALFORMED, header_text(lambda t: t.replace('"', "'"))),
    Case("header: names without quotes", MALFORMED, header_text(lambda t: '{alg:"HS256"}')),
    Case("header: not closed", MALFORMED, header_text(lambda t: t[:-1])),
    Case("header: NaN", MALFORMED, header_and('"x":NaN')),
    Case("header: a byte order mark", MALFORMED, header_text(lambda t: b"\xef\xbb\xbf" + t.encode())),
    Case("header: UTF-16", MALFORMED, header_text(lambda t: t.encode("utf-16"))),
    Case("header: UTF-16 without a mark", MALFORMED, header_text(lambda t: t.encode("utf-16-le"))),
    Case("header: UTF-32", MALFORMED, header_text(lambda t: t.encode("utf-32"))),
    Case("header: a no-break space within", MALFORMED, header_text(lambda t: t.replace(": ", ":\u00a0", 1))),
    Case("header: latin-1", MALFORMED, header_text(lambda t: (t[:-1] + ',"x":"é"}').encode("latin-1"))),
    Case("header: an overlong slash in UTF-8", MALFORMED, header_text(lambda t: t[:-1].encode() + b',"x":"\xc0\xaf"}')),
    Case("header: half of a surrogate pair", MALFORMED, header_and('"x":"\\ud800"')),
    Case("header: a NUL, escaped", MALFORMED, header_and('"x":"a\\u0000"')),
    Case("header: alg twice, the same", MALFORMED, header_and('"alg":"HS256"')),
    Case("header: alg twice, first none", MALFORMED, header_text(lambda t: '{"alg":"none",' + t[1:])),
    Case("header: alg twice, last none", MALFORMED, header_and('"alg":"none"')),
    Case("header: alg twice, once escaped", MALFORMED, header_and('"\\u0061lg":"none"')),
    Case("header: typ twice", MALFORMED, header_and('"typ":"logout+jwt"')),
    Case("header: a doubled name within a member", MALFORMED, header_and('"x":{"a":1,"a":2}')),
    Case("header: a member 31 levels deep", ACCEPTED, _nested_header(31)),
    Case("header: a member 32 levels deep", MALFORMED, _nested_header(32)),
    Case("header: a member 2,900 levels deep", MALFORMED, _nested_header(2900)),
    Case("header: a member 10,000 levels deep", MALFORMED, _nested_header(10_000)),
)

HEADER_MEMBERS = (
    *_members("alg", None, 256, True, ["HS256"], {"name": "HS256"}),
    Case("alg is missing", MALFORMED, header_without("alg")),
    Case("ALG in capitals, as a published page has it", MALFORMED, header_text(lambda t: t.replace("alg", "ALG"))),
    *_members("typ", None, 1, False, ["JWT"], {}),
    *_members("kid", None, 7, True, ["a"], {"a": 1}),
    *_members("cty", None, 7, ["JWT"]),
    *_members("crit", None, [], [[]], [1], 5, True, "exp", ["exp"], ["alg"], ["b64"], [None], {}, [{}], ["x"] * 90),
    Case("crit names a member that is there", MALFORMED, header(crit=["x"], x=1)),
    Case("crit asks for a payload that is not encoded", MALFORMED, header(crit=["b64"], b64=False)),
    *_members("b64", False, True, "false", None, 0),
)

PAYLOAD_JSON = (
    Case("payload: pretty-printed", ACCEPTED, payload_text(lambda t: json.dumps(json.loads(t), indent=4))),
    Case("payload: white space around it", ACCEPTED, payload_text(lambda t: f" \r\n\t{t}\n ")),
    Case("payload: PHP's escaped slashes", ACCEPTED, payload_text(lambda t: t.replace("/", "\\/"))),
    Case("payload: a name in another script", ACCEPTED, claim("given_name", "Алиса")),
    Case("payload: a pair of surrogates, escaped", ACCEPTED, claims_and('"x":"\\ud83d\\ude00"')),
    Case("payload: a backslash and a u, escaped", ACCEPTED, claims_and('"x":"\\\\ud800"')),
    Case("payload: a number with an exponent", ACCEPTED, claims_and('"x":1e3')),
    Case("payload: 500 claims that nobody knows", ACCEPTED, claims_and(",".join(f'"{n}":1' for n in range(500)))),
    Case("payload: a list", MALFORMED, payload_text(lambda t: f"[{t}]")),
    Case("payload: a list of pairs", MALFORMED, payload_text(lambda t: json.dumps(list(json.loads(t).items())))),
    Case("payload: a text", MALFORMED, payload_text(lambda t: json.dumps(t))),
    Case("payload: a number", MALFORMED, payload_text(lambda t: "1")),
    Case("payload: null", MALFORMED, payload_text(lambda t: "null")),
    Case("payload: no JSON", MALFORMED, payload_text(lambda t: "email=alice@example.com")),
    Case("payload: not closed", MALFORMED, payload_text(lambda t: t[:-1])),
    Case("payload: a comma too many", MALFORMED, payload_text(lambda t: t[:-1] + ",}")),
    Case("payload: single quotes", MALFORMED, payload_text(lambda t: t.replace('"', "'"))),
    Case("payload: a comment", MALFORMED, payload_text(lambda t: t[:-1] + "//\n}")),
    Case("payload: something behind it", MALFORMED, payload_text(lambda t: t + "]")),
    Case("payload: a NUL behind it", MALFORMED, payload_text(lambda t: t + "\0")),
    Case("payload: a no-break space behind it", MALFORMED, payload_text(lambda t: t + "\u00a0")),
    Case("payload: a byte order mark", MALFORMED, payload_text(lambda t: b"\xef\xbb\xbf" + t.encode())),
    Case("payload: UTF-16", MALFORMED, payload_text(lambda t: t.encode("utf-16"))),
    Case("payload: UTF-16 without a mark", MALFORMED, payload_text(lambda t: t.encode("utf-16-be"))),
    Case("payload: UTF-32", MALFORMED, payload_text(lambda t: t.encode("utf-32-le"))),
    Case("payload: UTF-7", MALFORMED, payload_text(lambda t: t.encode("utf-7").replace(b"{", b"+AHs-"))),
    Case("payload: latin-1", MALFORMED, _first_name("Zoé".encode("latin-1"))),
    Case("payload: a surrogate in UTF-8", MALFORMED, _first_name(b"\xed\xa0\x80")),
    Case("payload: an overlong NUL in UTF-8", MALFORMED, _first_name(b"\xc0\x80")),
    Case("payload: a control character that is not escaped", MALFORMED, _first_name("Al\x01ice")),
    Case("payload: a line break within a text", MALFORMED, _first_name("Al\nice")),
    Case("payload: a NUL, escaped", MALFORMED, claims_and('"x":"a\\u0000b"')),
    Case("payload: a NUL in a name", MALFORMED, claims_and('"x\\u0000":1')),
    Case("payload: a NUL behind escaped backslashes", MALFORMED, claims_and('"x":"\\\\\\\\\\u0000"')),
    Case("payload: what only looks like a NUL", ACCEPTED, claims_and('"x":"\\\\u0000 \\\\\\\\u0000"')),
    Case("payload: half of a surrogate pair", MALFORMED, _first_name("\\ud800")),
    Case("payload: the other half", MALFORMED, _first_name("\\udc00")),
    Case("payload: both halves, exchanged", MALFORMED, _first_name("\\udc00\\ud800")),
    Case("payload: half of a pair in a name", MALFORMED, claims_and('"\\ud800":1')),
    Case("payload: NaN in a claim that nobody reads", MALFORMED, claims_and('"x":NaN')),
    Case("payload: Infinity in a claim that nobody reads", MALFORMED, claims_and('"x":Infinity')),
    Case("payload: minus Infinity", MALFORMED, claims_and('"x":-Infinity')),
    Case("payload: a number beyond all floats", MALFORMED, claims_and('"x":1e999')),
    Case("payload: a number beyond all floats, below zero", MALFORMED, claims_and('"x":-1.0e400')),
    Case("payload: a whole number of 5,000 digits", MALFORMED, claims_and(f'"x":{"9" * 5000}')),
    Case("payload: a hexadecimal number", MALFORMED, claims_and('"x":0x10')),
    Case("payload: a number with a leading zero", MALFORMED, claims_and('"x":010')),
    Case("payload: email twice", MALFORMED, claims_and('"email":"mallory@example.com"')),
    Case("payload: exp twice, the same", MALFORMED, _twice("exp")),
    Case("payload: exp twice, once escaped", MALFORMED, claims_and('"\\u0065xp":9999999999')),
    Case("payload: a doubled name within a claim", MALFORMED, claims_and('"x":{"a":1,"a":1}')),
    Case("payload: a doubled empty name", MALFORMED, claims_and('"":1,"":2')),
    Case("payload: a claim 31 levels deep", ACCEPTED, _nested(31)),
    Case("payload: a claim 32 levels deep", MALFORMED, _nested(32)),
    Case("payload: a list 32 levels deep", MALFORMED, _nested(32, "[", "", "]")),
    Case("payload: a claim 300 levels deep", MALFORMED, _nested(300)),
    Case("payload: a list 2,500 levels deep", MALFORMED, _nested(2500, "[", "", "]")),
    Case("payload: a claim 3,500 levels deep", MALFORMED, _nested(3_500)),
)

CASES = (*HEADER_JSON, *HEADER_MEMBERS, *PAYLOAD_JSON)
