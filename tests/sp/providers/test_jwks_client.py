"""Keys from an endpoint: fetched within limits, shared, kept through an outage, and never used for too long."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from flask import Flask
from sqlalchemy import select, update

import shared.outbound
from lab.minting import mint
from lab.scripted_server import Handler, ScriptedServer, answer, scripted_server
from shared.errors import KeyUnavailable
from shared.keys import KeySet, TokenKey, generate_key, load_key, public_pem
from shared.outbound import ExchangeFailed, exchange
from shared.tokens import sign
from sp.database.models import KeyCopy
from sp.providers import jwks_client as jwks
from sp.providers.jwks_client import FRESH, RETRY, STALE, UNKNOWN_KEY, KeyEndpoint, parse_key_set
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of
from tests.support.waiting import wait_until

PEMS = {algorithm: [generate_key(algorithm) for _ in range(2)] for algorithm in ("ES256", "RS256")}
ALICE_KEY, SECOND_KEY = (load_key(pem, "ES256") for pem in PEMS["ES256"])
RSA_KEY, _ = (load_key(pem, "RS256") for pem in PEMS["RS256"])
BOUND = 3.0  # seconds within which everything ends that is cut off after half a second


def published(*keys: TokenKey, **changes: Any) -> str:
    return key_set(*({**key.public_jwk(), **changes} for key in keys))


def key_set(*members: Any) -> str:
    return json.dumps({"keys": list(members)})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.5)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(answer(published(ALICE_KEY))) as running:
        yield running


class Clock:
    """Monotonic seconds that move when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Copies:
    """Implements KeyCopies in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, Sequence[Mapping[str, Any]]]] = {}
        self.at, self.saves, self.clock = 0.0, 0, Clock()

    def load(self, provider: str, url: str) -> tuple[list[Mapping[str, Any]], float]:
        kept_url, kept = self.kept.get(provider, ("", ()))
        return (list(kept) if kept_url == url else []), self.at

    def save(self, provider: str, url: str, jwks: Sequence[Mapping[str, Any]]) -> None:
        self.kept[provider] = (url, jwks)
        self.at, self.saves = self.clock(), self.saves + 1


class Source:
    """Simulates the endpoint: what it publishes, whether it is down, and how often it was asked."""

    def __init__(self, *keys: TokenKey) -> None:
        self.text, self.down, self.asked = published(*keys), False, 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, _url: str) -> bytes:
        self.asked += 1
        assert self.gate.wait(5)
        if self.down:
            raise ExchangeFailed("it is down")
        return self.text.encode()


def endpoint(source: Source, clock: Clock, copies: Copies | None = None) -> KeyEndpoint:
    copies = copies or Copies()
    copies.clock = clock  # one clock for all
    return KeyEndpoint("corporate", "https://idp", "ES256", copies, fetch=source, clock=clock, wall_clock=clock)


def kids(keys: KeySet) -> set[str]:
    return {key.public_jwk()["kid"] for key in keys.keys}


# The exchange


def test_a_published_set_is_fetched(server: ScriptedServer) -> None:
    assert kids(parse_key_set(jwks.fetch(server.url), "ES256")) == kids(KeySet((ALICE_KEY,)))


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def continue_for_ever(handler: Handler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def say_nothing(_handler: Handler) -> None:
    time.sleep(2)


@pytest.mark.parametrize("script", [drip_body, drip_headers, continue_for_ever, say_nothing])
@pytest.mark.usefixtures("quick")
def test_attack_a_server_that_is_slow_in_small_steps_is_left_in_time(script: Any, server: ScriptedServer) -> None:
    server.script = script
    began = time.monotonic()
    with pytest.raises(ExchangeFailed, match=r"within 0\.5 seconds"):
        jwks.fetch(server.url)
    assert time.monotonic() - began < BOUND


def endless_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


@pytest.mark.parametrize(
    "script", [answer(b" " * (jwks.MAX_BYTES + 1)), endless_chunks, answer(b"{}" + b" " * 5_000_000)]
)
def test_attack_a_huge_answer_is_refused(script: Any, server: ScriptedServer) -> None:
    server.script = script
    with pytest.raises(ExchangeFailed, match="longer than"):
        jwks.fetch(server.url)


def test_the_largest_answer_that_is_allowed_is_read(server: ScriptedServer) -> None:
    text = published(ALICE_KEY)
    server.script = answer(text + " " * (jwks.MAX_BYTES - len(text)))
    assert len(parse_key_set(jwks.fetch(server.url), "ES256").keys) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_attack_no_redirect_is_followed(status: int, server: ScriptedServer) -> None:
    server.script = answer("", status, Location="/elsewhere")
    with pytest.raises(ExchangeFailed, match=str(status)):
        jwks.fetch(server.url)
    assert server.requests == ["/keys"]


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 500, 503])
def test_only_200_is_an_answer(status: int, server: ScriptedServer) -> None:
    server.script = answer("" if status == 204 else published(ALICE_KEY), status)
    with pytest.raises(ExchangeFailed, match=str(status)):
        jwks.fetch(server.url)


def test_an_answer_that_is_compressed_unasked_is_refused(server: ScriptedServer) -> None:
    server.script = answer(b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(ExchangeFailed, match="compressed"):
        jwks.fetch(server.url)


def test_an_answer_that_is_no_http_is_refused(server: ScriptedServer) -> None:
    def babble(handler: Handler) -> None:
        handler.wfile.write(b"\0\1\2 what is this\r\n\r\n")

    server.script = babble
    with pytest.raises(ExchangeFailed, match="not valid HTTP"):
        jwks.fetch(server.url)


def test_a_server_that_is_not_there_is_told() -> None:
    with scripted_server(answer("")) as gone:
        pass
    with pytest.raises(ExchangeFailed, match="cannot be reached"):
        jwks.fetch(gone.url)


def test_attack_plain_http_is_judged_by_the_address_that_the_name_led_to(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: localhost, or a name below it, is made to lead to another machine."""
    judged = []

    def is_loopback(host: str) -> bool:
        judged.append(host)
        return False  # as if 127.0.0.1 were not this machine

    monkeypatch.setattr(shared.outbound, "is_loopback", is_loopback)
    with pytest.raises(ExchangeFailed, match="allowed only on this machine"):
        jwks.fetch(server.url.replace("127.0.0.1", "localhost"))
    assert judged == ["127.0.0.1"]
    assert server.requests == []  # no request was sent


def test_every_address_of_a_name_is_tried(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    resolve = socket.getaddrinfo

    def two(_host: str, port: int, **options: Any) -> Any:
        return [*resolve("127.0.0.1", 9, **options), *resolve("127.0.0.1", port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    assert exchange(server.url, seconds=2, most_bytes=10_000).status == 200


def certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    names: x509.GeneralName = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    pem = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return pem


def test_https_works_with_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with scripted_server(answer(published(ALICE_KEY)), pem) as secure:
        assert b"keys" in jwks.fetch(secure.url)


@pytest.mark.parametrize("trusted", [False, True])
def test_attack_another_certificate_is_refused(trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First an untrusted certificate, then a trusted one of another host."""
    pem = certificate(tmp_path, "another.example" if trusted else "127.0.0.1")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with scripted_server(answer(published(ALICE_KEY)), pem) as secure:
        with pytest.raises(ExchangeFailed, match="https failed"):
            jwks.fetch(secure.url)
        assert secure.requests == []


@pytest.mark.usefixtures("quick")
def test_attack_a_tls_handshake_that_never_ends_is_left_in_time(server: ScriptedServer) -> None:
    with scripted_server(say_nothing) as mute:
        mute.scheme = "https"  # it speaks no TLS, and waits for the end of a request line
        with pytest.raises(ExchangeFailed):
            jwks.fetch(mute.url)


# What is in a set


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"keys": {}}',
        '{"keys": null}',
        "<html>",
        '{"keys": [], "keys": []}',
        "\xff",
        "[" * 9999,
    ],
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    with pytest.raises(ExchangeFailed):
        parse_key_set(text.encode("latin-1"), "ES256")


BAD_MEMBERS: list[Any] = [
    None,
    7,
    [],
    {},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    {"kty": "EC", "crv": "P-256"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    {"kty": "future"},
    {**SECOND_KEY.public_jwk(), "use": "enc"},
    {**SECOND_KEY.public_jwk(), "alg": "ES384"},
    {**SECOND_KEY.public_jwk(), "key_ops": ["encrypt"]},
    {**SECOND_KEY.public_jwk(), "kid": 7},
    {**SECOND_KEY.public_jwk(), "kid": None},
    load_key(generate_key("ES384"), "ES384").public_jwk(),
]


@pytest.mark.parametrize("bad", BAD_MEMBERS, ids=range(len(BAD_MEMBERS)))
def test_a_bad_member_is_left_out_and_spoils_nothing(bad: Any) -> None:
    found = parse_key_set(key_set(bad, ALICE_KEY.public_jwk()).encode(), "ES256")
    assert kids(found) == kids(KeySet((ALICE_KEY,)))


def test_attack_private_and_symmetric_members_are_never_used() -> None:
    """A private key that is published signs for anyone; an oct key would be a secret that everybody knows."""
    private = SECOND_KEY.native.as_dict(private=True)
    secret = {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0", "alg": "HS256"}
    text = key_set(private, secret, {**ALICE_KEY.public_jwk(), "k": "AA"}).encode()
    assert parse_key_set(text, "ES256").keys == ()


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", ALICE_KEY), ("RS256", RSA_KEY)])
def test_of_a_mixed_set_only_the_keys_that_fit_the_algorithm_are_taken(algorithm: str, key: TokenKey) -> None:
    found = parse_key_set(published(RSA_KEY, ALICE_KEY).encode(), algorithm)
    assert kids(found) == kids(KeySet((key,)))
    assert {key.algorithm for key in found.keys} == {algorithm}


def test_a_member_without_alg_is_taken_for_the_algorithm_of_the_setting() -> None:
    member = {name: value for name, value in RSA_KEY.public_jwk().items() if name not in ("alg", "use", "kid")}
    found = parse_key_set(key_set(member).encode(), "RS384")
    assert [(key.algorithm, key.kid) for key in found.keys] == [("RS384", None)]


def test_the_same_member_twice_counts_once_and_a_set_is_bounded() -> None:
    text = key_set(*[ALICE_KEY.public_jwk()] * 3)
    assert len(parse_key_set(text.encode(), "ES256").keys) == 1
    many = key_set(*({**ALICE_KEY.public_jwk(), "kid": str(n)} for n in range(jwks.MAX_KEYS + 5)))
    assert len(parse_key_set(many.encode(), "ES256").keys) == jwks.MAX_KEYS


def test_attack_addresses_inside_a_member_are_not_fetched(server: ScriptedServer) -> None:
    member = {**ALICE_KEY.public_jwk(), "x5u": server.url, "jku": server.url}
    assert len(parse_key_set(key_set(member).encode(), "ES256").keys) == 1
    assert server.requests == []


# Keeping them


def test_keys_are_fetched_once_and_used_as_long_as_they_are_fresh() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    for _ in range(20):
        clock.now += FRESH / 21
        assert kids(kept.keys()) == kids(KeySet((ALICE_KEY,)))
    assert source.asked == 1


def test_keys_that_are_no_longer_fresh_are_looked_after_without_a_wait() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    first = kept.keys()
    source.text = published(SECOND_KEY)
    source.gate.clear()
    clock.now += FRESH + 1
    assert kept.keys() is first  # at once, while the fetch is under way
    source.gate.set()
    wait_until(lambda: kids(kept.keys()) == kids(KeySet((SECOND_KEY,))))
    assert source.asked == 2


def test_keys_that_nobody_looked_after_for_long_are_looked_after_first() -> None:
    """A key that was withdrawn meanwhile must not be accepted again."""
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    kept.keys()
    source.text = published(SECOND_KEY)
    clock.now += STALE + 1
    assert kids(kept.keys()) == kids(KeySet((SECOND_KEY,)))


def test_the_last_good_keys_are_kept_while_the_endpoint_is_down() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    first = kept.keys()
    source.down = True
    for _ in range(20):
        clock.now += STALE
        assert kept.keys() is first
    source.down, source.text = False, published(SECOND_KEY)
    clock.now += RETRY
    wait_until(lambda: kids(kept.keys()) == kids(KeySet((SECOND_KEY,))))


@pytest.mark.parametrize("text", ["<html>maintenance</html>", '{"error": "later"}', ""])
def test_an_answer_that_is_no_key_set_counts_as_an_outage(text: str) -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    first = kept.keys()
    source.text = text
    clock.now += STALE + 1
    assert kept.keys() is first


def test_an_endpoint_that_is_down_is_not_asked_by_every_sign_in() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    kept.keys()
    source.down = True
    clock.now += STALE + 1
    for _ in range(50):
        kept.keys()
    wait_until(lambda: kept._under_way is None)
    assert source.asked == 2


def test_a_key_that_is_withdrawn_no_longer_verifies() -> None:
    source, clock = Source(ALICE_KEY, SECOND_KEY), Clock()
    kept = endpoint(source, clock)
    assert len(kept.keys().keys) == 2
    source.text = published(SECOND_KEY)
    clock.now += STALE + 1
    assert kids(kept.keys()) == kids(KeySet((SECOND_KEY,)))


def test_a_set_without_a_usable_key_is_believed() -> None:
    """This is how a provider withdraws its last key: if we kept using it, we would trust the thief of that key."""
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    kept.keys()
    source.text = key_set()
    clock.now += STALE + 1
    with pytest.raises(KeyUnavailable):
        kept.keys()
    source.text = published(SECOND_KEY)
    clock.now += 2
    assert kids(kept.keys()) == kids(KeySet((SECOND_KEY,)))


def test_without_any_keys_ever_it_is_key_unavailable_until_the_endpoint_answers() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    source.down = True
    kept = endpoint(source, clock)
    for _ in range(20):
        with pytest.raises(KeyUnavailable, match="it is down"):
            kept.keys()
    assert source.asked == 1
    source.down = False
    clock.now += 1.5
    assert kept.keys().keys


def test_many_at_once_wait_for_one_fetch() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    source.gate.clear()
    kept = endpoint(source, clock)
    with ThreadPoolExecutor(32) as pool:
        asking = [pool.submit(kept.keys) for _ in range(32)]
        time.sleep(0.05)
        source.gate.set()
        assert len({id(asked.result()) for asked in asking}) == 1
    assert source.asked == 1


def test_a_fetch_that_takes_long_is_not_joined_by_a_second_one() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    source.gate.clear()
    kept = endpoint(source, clock)
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(kept.keys)]
        wait_until(lambda: source.asked == 1)
        clock.now += 3
        asking.append(pool.submit(kept.keys))
        time.sleep(0.05)
        source.gate.set()
        assert asking[0].result() is asking[1].result()
    assert source.asked == 1


def is_refused(kept: KeyEndpoint, tried: KeySet) -> bool:
    try:
        assert kept.newer_than(tried) is None
    except KeyUnavailable:
        return True
    return False


def test_attack_tokens_with_made_up_keys_do_not_tie_threads_to_an_address_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jwks, "PATIENCE", 0.05)
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    tried = kept.keys()
    source.down = True
    assert kept.newer_than(tried) is None  # from now on it is known to fail
    source.gate.clear()
    clock.now += UNKNOWN_KEY
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        refused = sum(pool.map(lambda _: is_refused(kept, tried), range(64)))
    assert time.monotonic() - began < 2
    assert 0 < refused < 64  # a few wait, the others are refused at once
    source.gate.set()


def test_an_unknown_key_causes_one_look_per_interval() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    tried = kept.keys()
    for _ in range(100):
        assert kept.newer_than(tried) is None
    assert source.asked == 2
    clock.now += UNKNOWN_KEY + 1
    assert kept.newer_than(tried) is None
    assert source.asked == 3


def test_attack_unknown_keys_from_many_threads_cause_one_look() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    tried = kept.keys()
    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda _: kept.newer_than(tried), range(200))) == {None}
    assert source.asked == 2


def test_a_rotation_is_noticed_at_once_by_everyone_who_waits() -> None:
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    tried = kept.keys()
    source.text = published(SECOND_KEY, ALICE_KEY)
    source.gate.clear()
    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(kept.newer_than, tried) for _ in range(16)]
        time.sleep(0.05)
        source.gate.set()
        found = [asked.result() for asked in asking]
    assert all(keys is not None and len(keys.keys) == 2 for keys in found)
    assert source.asked == 2


def test_a_restart_while_the_endpoint_is_down_goes_on_with_the_last_good_keys() -> None:
    source, clock, copies = Source(ALICE_KEY), Clock(), Copies()
    first = endpoint(source, clock, copies).keys()
    source.down = True
    assert endpoint(source, clock, copies).keys() == first


def look_until(kept: KeyEndpoint, source: Source, asked: int) -> None:
    """Ask for the keys, and wait until the look that this may cause is over."""
    kept.keys()
    deadline = time.monotonic() + 10
    while (source.asked < asked or kept._under_way) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert source.asked == asked


def test_attack_keys_of_an_address_that_is_cut_off_are_believed_for_a_day_and_no_longer() -> None:
    """Who has a key that was withdrawn, and keeps us from hearing of that, does not keep it in force for ever."""
    source, clock = Source(ALICE_KEY), Clock()
    kept = endpoint(source, clock)
    first = kept.keys()
    source.down = True
    clock.now += jwks.MAX_STALE - 1
    assert kept.keys() == first
    clock.now += 1
    for _ in range(2):
        with pytest.raises(KeyUnavailable, match="last fetched too long ago: it is down"):
            kept.keys()
    source.down = False
    clock.now += jwks.RETRY_WITHOUT_KEYS
    assert kept.keys() == first


def test_attack_a_restart_makes_the_last_good_keys_no_younger() -> None:
    source, clock, copies = Source(ALICE_KEY), Clock(), Copies()
    first = endpoint(source, clock, copies).keys()
    source.down = True
    clock.now += jwks.MAX_STALE - 1
    restarted = endpoint(source, clock, copies)
    assert restarted.keys() == first
    clock.now += 1
    with pytest.raises(KeyUnavailable, match="too long ago"):
        restarted.keys()
    with pytest.raises(KeyUnavailable, match="too long ago"):
        endpoint(source, clock, copies).keys()


def test_keys_that_were_kept_by_a_clock_far_ahead_are_not_believed_for_ever() -> None:
    source, clock, copies = Source(ALICE_KEY), Clock(), Copies()
    endpoint(source, clock, copies).keys()
    copies.at += jwks.MAX_STALE
    source.down = True
    with pytest.raises(KeyUnavailable):
        endpoint(source, clock, copies).keys()


def test_keys_that_do_not_change_are_kept_again_now_and_then_so_that_a_restart_finds_them_young() -> None:
    source, clock, copies = Source(ALICE_KEY), Clock(), Copies()
    kept = endpoint(source, clock, copies)
    first, hours = kept.keys(), 48
    for hour in range(1, hours + 1):
        for quarter in range(4):
            clock.now += 900
            look_until(kept, source, (hour - 1) * 4 + quarter + 2)
    assert hours <= copies.saves <= hours + 1
    source.down = True
    assert endpoint(source, clock, copies).keys() == first


def test_a_key_without_a_name_stays_without_one_in_the_copy() -> None:
    source, clock, copies = Source(), Clock(), Copies()
    source.text = key_set({name: v for name, v in ALICE_KEY.public_jwk().items() if name != "kid"})
    endpoint(source, clock, copies).keys()
    source.down = True
    assert [key.kid for key in endpoint(source, clock, copies).keys().keys] == [None]


def test_a_mistake_in_our_own_code_lets_nobody_wait_for_ever() -> None:
    def broken(_url: str) -> bytes:
        raise ZeroDivisionError

    kept = KeyEndpoint("corporate", "https://idp", "ES256", Copies(), fetch=broken, clock=Clock())
    with pytest.raises(KeyUnavailable, match="unexpected"):
        kept.keys()


# In the gateway


def provider(url: str, **more: Any) -> dict[str, Any]:
    settings = {
        "algorithm": "ES256",
        "jwks_url": url,
        "keys": [],
        "deliveries": ["header", "form"],
        "unsolicited": "accept",
    }
    return {"corporate": {**settings, **more}}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": "alice@example.com", **more}


def try_in(app: Flask, token: str) -> Any:
    response = app.test_client().get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"})
    body: dict[str, Any] = response.get_json()
    return body.get("error", response.status_code)


def signed(key: TokenKey, **more: Any) -> str:
    return sign(claims(**more), key, kid=True)


def test_a_token_by_a_published_key_opens_the_gate(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url))
    assert [try_in(app, signed(ALICE_KEY)) for _ in range(5)] == [200] * 5
    assert try_in(app, signed(SECOND_KEY)) == "signature_invalid"
    assert server.requests == ["/keys"] * 2  # one at first, one for the key that is not known


def test_a_rotation_refuses_not_a_single_sign_in(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url))
    assert try_in(app, signed(ALICE_KEY)) == 200
    server.script = answer(published(SECOND_KEY, ALICE_KEY))
    assert try_in(app, signed(SECOND_KEY)) == 200
    assert try_in(app, signed(ALICE_KEY)) == 200


def test_a_rotation_of_keys_without_names_is_noticed_too(gateway: MakeGateway, server: ScriptedServer) -> None:
    nameless = [{n: v for n, v in key.public_jwk().items() if n != "kid"} for key in (ALICE_KEY, SECOND_KEY)]
    server.script = answer(key_set(nameless[0]))
    app = gateway(provider(server.url))
    assert try_in(app, sign(claims(), ALICE_KEY)) == 200
    server.script = answer(key_set(nameless[1]))
    assert try_in(app, sign(claims(), SECOND_KEY)) == 200


def test_attack_tokens_cannot_make_the_gateway_fetch_at_will(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url))
    assert try_in(app, signed(ALICE_KEY)) == 200
    for number in range(50):
        token = mint(claims(), "x" * 32, {"alg": "ES256", "kid": f"made-up-{number}"})
        assert try_in(app, token) == "signature_invalid"
    assert len(server.requests) == 2


def test_attack_a_forged_signature_under_a_known_kid_fetches_nothing(
    gateway: MakeGateway, server: ScriptedServer
) -> None:
    app = gateway(provider(server.url))
    assert try_in(app, signed(ALICE_KEY)) == 200
    head, payload, _signature = signed(ALICE_KEY).split(".")
    assert try_in(app, f"{head}.{payload}.{signed(SECOND_KEY).rpartition('.')[2]}") == "signature_invalid"
    assert server.requests == ["/keys"]


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_attack_an_address_in_the_header_is_never_asked(
    member: str, gateway: MakeGateway, server: ScriptedServer
) -> None:
    with scripted_server(answer(published(SECOND_KEY))) as evil:
        header = {"alg": "ES256", "kid": SECOND_KEY.public_jwk()["kid"], member: evil.url}
        app = gateway(provider(server.url))
        assert try_in(app, mint(claims(), "x" * 32, header)) == "signature_invalid"
        assert evil.requests == []


def test_attack_the_public_key_is_no_secret(gateway: MakeGateway, server: ScriptedServer) -> None:
    """The old confusion: HS256 with the published public key as the secret."""
    app = gateway(provider(server.url))
    assert try_in(app, mint(claims(), public_pem(PEMS["ES256"][0]))) == "algorithm_not_allowed"


def test_the_endpoint_wins_over_configured_keys(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url, keys=[public_pem(PEMS["ES256"][1])]))
    assert try_in(app, signed(ALICE_KEY)) == 200
    assert try_in(app, signed(SECOND_KEY)) == "signature_invalid"


def test_an_endpoint_that_never_answered_is_key_unavailable_and_spends_nothing(
    gateway: MakeGateway, server: ScriptedServer
) -> None:
    app = gateway(provider(server.url))
    server.script = answer("", 500)
    token = signed(ALICE_KEY)
    response = app.test_client().get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 503
    assert try_in(app, token) == "key_unavailable"
    server.script = answer(published(ALICE_KEY))
    time.sleep(jwks.RETRY_WITHOUT_KEYS + 0.1)
    assert try_in(app, token) == 200


def test_a_gateway_that_restarts_during_an_outage_locks_nobody_out(
    gateway: MakeGateway, server: ScriptedServer
) -> None:
    assert try_in(gateway(provider(server.url)), signed(ALICE_KEY)) == 200
    server.script = answer("", 503)
    restarted = gateway()
    assert try_in(restarted, signed(ALICE_KEY)) == 200
    assert try_in(restarted, signed(SECOND_KEY)) == "signature_invalid"


def test_attack_a_restart_after_a_day_of_outage_believes_no_kept_key(
    gateway: MakeGateway, server: ScriptedServer
) -> None:
    app = gateway(provider(server.url))
    assert try_in(app, signed(ALICE_KEY)) == 200
    server.script = answer("", 503)
    make_kept_keys_older(app, by=301)
    assert try_in(gateway(SP_JWKS_MAX_STALE="300"), signed(ALICE_KEY)) == "key_unavailable"
    assert try_in(gateway(), signed(ALICE_KEY)) == 200  # a day, unless set otherwise
    make_kept_keys_older(app, by=jwks.MAX_STALE)
    assert try_in(gateway(), signed(ALICE_KEY)) == "key_unavailable"


def make_kept_keys_older(app: Flask, by: int) -> None:
    """Set the time at which the kept keys were fetched back by so many seconds."""
    core = core_of(app)
    with core.database.engine.execution_options(write=True).begin() as connection:
        kept = json.loads(core.vault.decrypt(connection.execute(select(KeyCopy.sealed)).scalar_one()))
        sealed = core.vault.encrypt(json.dumps({**kept, "at": kept["at"] - by}))
        connection.execute(update(KeyCopy).values(sealed=sealed))


def test_kept_keys_are_not_used_for_another_address(gateway: MakeGateway, server: ScriptedServer) -> None:
    assert try_in(gateway(provider(server.url)), signed(ALICE_KEY)) == 200
    server.script = answer("", 503)
    assert try_in(gateway(provider(server.url + "/other")), signed(ALICE_KEY)) == "key_unavailable"


def test_attack_keys_planted_in_the_database_are_not_used(gateway: MakeGateway, server: ScriptedServer) -> None:
    """An attacker who can write to the database, without the secret key, gains no key that signs people in."""
    from sqlalchemy import text

    assert try_in(gateway(provider(server.url)), signed(ALICE_KEY)) == 200
    server.script = answer("", 503)
    app = gateway()
    planted = json.dumps({"provider": "corporate", "url": server.url, "keys": [SECOND_KEY.public_jwk()]})
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE key_copy SET sealed = :planted"), {"planted": planted})
    assert try_in(app, signed(SECOND_KEY)) == "key_unavailable"


def test_a_changed_address_is_asked_at_once(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url))
    assert try_in(app, signed(ALICE_KEY)) == 200
    with scripted_server(answer(published(SECOND_KEY))) as other:
        core_of(app).provider_store.apply(provider(other.url), actor="test")
        assert try_in(app, signed(SECOND_KEY)) == 200
        assert try_in(app, signed(ALICE_KEY)) == "signature_invalid"


def test_a_private_key_of_the_setting_still_signs_sign_out_tokens(gateway: MakeGateway, server: ScriptedServer) -> None:
    app = gateway(provider(server.url, keys=[PEMS["ES256"][1]]))
    key = core_of(app).provider_registry.get("corporate").signing_key
    assert key is not None
    assert load_pem_private_key(PEMS["ES256"][1].encode(), None) is not None
    assert key.fingerprint == SECOND_KEY.fingerprint
