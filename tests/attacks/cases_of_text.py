"""Cases about the text of a token: its parts and their encoding."""

import json
import string

from lab.forging import encode, part
from tests.attacks.case import (
    ACCEPTED,
    Case,
    Change,
    Good,
    claim,
    pieces,
    text,
)

MALFORMED = "token_malformed"
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def _unused_bits_set(piece: str) -> str:
    """Return *piece* with another last letter, which lenient decoders read as the same bytes."""
    assert len(piece) % 4 in (2, 3)
    return piece[:-1] + ALPHABET[ALPHABET.index(piece[-1]) + 1]


def _with_unused_bits(which: int) -> Change:
    def change(it: Good) -> str:
        for length in range(3):  # until the part's length leaves bits unused
            filler = {"x": "y" * length}
            parts = it.token(header={**it.header, **filler}, claims={**it.claims, **filler}).split(".")
            if len(parts[which]) % 4 in (2, 3):
                parts[which] = _unused_bits_set(parts[which])
                return ".".join(parts)
        raise AssertionError("no length leaves bits unused")

    return change


def _of_length(length: int) -> Change:
    """Fill the token up to *length* characters, in the payload and, for what does not divide by four, the header."""

    def change(it: Good) -> str:
        for extra in range(4):
            head = {**it.header, "x": "y" * extra}
            filler = 0
            while len(token := it.token(header=head, claims={**it.claims, "x": "y" * filler})) < length:
                filler += max(1, (length - len(token)) * 3 // 4)
            if len(token) == length:
                return token
        raise AssertionError(f"no token has {length} characters")

    return change


def _as_json(flattened: bool) -> Change:
    def change(it: Good) -> str:
        protected, payload, signature = it.token().split(".")
        one = {"protected": protected, "signature": signature}
        return json.dumps({"payload": payload, **one} if flattened else {"payload": payload, "signatures": [one]})

    return change


def _impossible(piece: str) -> str:
    """Return *piece*, made longer to a length that is 1 modulo 4."""
    return piece + "A" * ((1 - len(piece)) % 4)


def _encoded_twice(it: Good) -> str:
    return it.token(claims=part(it.claims).encode())


def _hexadecimal(it: Good) -> str:
    signing_input = f"{part(it.header)}.{part(it.claims)}"
    return f"{signing_input}.{it.key.sign(signing_input.encode()).hex()}"


TEXT = (
    Case("one good token", ACCEPTED, text(lambda t: t)),
    Case("two dots and nothing else", MALFORMED, text(lambda t: "..")),
    Case("one dot", MALFORMED, text(lambda t: ".")),
    Case("a word", MALFORMED, text(lambda t: "token")),
    Case("the signature and its dot are missing", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}")),
    Case("only the header is there", MALFORMED, pieces(lambda h, p, s: h)),
    Case("four parts", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{s}.{s}")),
    Case("five parts, as an encrypted token has", MALFORMED, pieces(lambda h, p, s: f"{h}..{p}.{s}.{s}")),
    Case("six parts", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{s}.{h}.{p}.{s}")),
    Case("eight thousand dots", MALFORMED, text(lambda t: "." * 8000)),
    Case("a dot behind it", MALFORMED, text(lambda t: t + ".")),
    Case("a dot before it", MALFORMED, text(lambda t: "." + t)),
    Case("the header is empty", MALFORMED, pieces(lambda h, p, s: f".{p}.{s}")),
    Case("the payload is empty, and signed so", MALFORMED, lambda it: it.token(claims=b"")),
    Case("the payload was taken out", "signature_invalid", pieces(lambda h, p, s: f"{h}..{s}")),
    Case("a space before it", MALFORMED, text(lambda t: " " + t)),
    Case("a space behind it", MALFORMED, text(lambda t: t + " ")),
    Case("a line break behind it", MALFORMED, text(lambda t: t + "\n")),
    Case("a line break within the payload", MALFORMED, pieces(lambda h, p, s: f"{h}.{p[:20]}\r\n{p[20:]}.{s}")),
    Case("a space within the signature", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{s[:9]} {s[9:]}")),
    Case("a tab at a dot", MALFORMED, pieces(lambda h, p, s: f"{h}.\t{p}.{s}")),
    Case("a NUL behind it", MALFORMED, text(lambda t: t + "\0")),
    Case("a NUL within the header", MALFORMED, pieces(lambda h, p, s: f"{h[:5]}\0{h[5:]}.{p}.{s}")),
    Case("quotes around it", MALFORMED, text(lambda t: f'"{t}"')),
    Case("the word Bearer before it", MALFORMED, text(lambda t: f"Bearer {t}")),
    Case("the parameter's name before it", MALFORMED, text(lambda t: f"jwt={t}")),
    Case("dots of full width", MALFORMED, text(lambda t: t.replace(".", "．"))),
    Case("a letter of full width", MALFORMED, text(lambda t: "ｅ" + t[1:])),
    Case("a Cyrillic letter that looks like e", MALFORMED, text(lambda t: "е" + t[1:])),
    Case("a soft hyphen within it", MALFORMED, text(lambda t: f"{t[:10]}\u00ad{t[10:]}")),
    Case("percent-encoded dots", MALFORMED, text(lambda t: t.replace(".", "%2E"))),
    Case("a comma for a dot", MALFORMED, text(lambda t: t.replace(".", ",", 1))),
    Case("an asterisk within the payload", MALFORMED, pieces(lambda h, p, s: f"{h}.{p[:8]}*{p[8:]}.{s}")),
    Case("another token behind it, after a semicolon", MALFORMED, text(lambda t: f"{t};{t}")),
    Case("JSON serialisation, general", MALFORMED, _as_json(flattened=False)),
    Case("JSON serialisation, flattened", MALFORMED, _as_json(flattened=True)),
    Case("8,192 characters", ACCEPTED, _of_length(8192)),
    Case("8,193 characters", MALFORMED, _of_length(8193)),
    Case("30,000 characters", MALFORMED, claim("x", "y" * 22_000)),
)

BASE64 = (
    Case("the header is padded", MALFORMED, pieces(lambda h, p, s: f"{h}=.{p}.{s}")),
    Case("the payload is padded", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}==.{s}")),
    Case("the signature is padded", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{s}=")),
    Case("an equals sign within the signature", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{s[:8]}={s[8:]}")),
    Case("an equals sign within the payload", MALFORMED, pieces(lambda h, p, s: f"{h}.{p[:8]}={p[8:]}.{s}")),
    Case("plus instead of minus in the signature", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.+{s[1:]}")),
    Case("slash instead of underscore in the signature", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}./{s[1:]}")),
    Case("unused bits of the header are set", MALFORMED, _with_unused_bits(0)),
    Case("unused bits of the payload are set", MALFORMED, _with_unused_bits(1)),
    Case("unused bits of the signature are set", MALFORMED, _with_unused_bits(2)),
    Case("the header has a length that none has", MALFORMED, pieces(lambda h, p, s: f"{_impossible(h)}.{p}.{s}")),
    Case("the payload has a length that none has", MALFORMED, pieces(lambda h, p, s: f"{h}.{_impossible(p)}.{s}")),
    Case("the signature has a length that none has", MALFORMED, pieces(lambda h, p, s: f"{h}.{p}.{_impossible(s)}")),
    Case("the header is encoded twice", MALFORMED, pieces(lambda h, p, s: f"{encode(h.encode())}.{p}.{s}")),
    Case("the payload is encoded twice, and signed so", MALFORMED, _encoded_twice),
    Case("the header is not encoded", MALFORMED, pieces(lambda h, p, s: f'{{"alg":"HS256"}}.{p}.{s}')),
    Case("the payload is not encoded", MALFORMED, pieces(lambda h, p, s: f'{h}.{{"sub":"alice"}}.{s}')),
    Case("the signature is in hexadecimal", "signature_invalid", _hexadecimal),
)


CASES = (*TEXT, *BASE64)
