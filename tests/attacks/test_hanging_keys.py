"""A JWKS URL that accepts connections and never answers, and strangers whose tokens name unknown keys."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from lab.pair import program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram

STRANGERS = 24  # more than there are threads
PAUSE = 0.1  # seconds between two tokens of one stranger
HEALTH_SECONDS, ANSWER_SECONDS, SECONDS = 0.25, 5.0, 30
LONG, WAITERS = 2.0, 4  # seconds, and requests of a worker: who waits for longer has one of the few places
REQUESTS, TRIES = 5, 6
PROVIDERS = 5


@pytest.fixture
def hanging() -> Iterator[str]:
    """A URL whose connections the system accepts, but no program answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/keys"


@pytest.fixture
def gateway(hanging: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProgram]:
    folder, port = tmp_path_factory.mktemp("hanging"), free_port()
    settings = {
        "algorithm": "RS256",
        "jwks_url": hanging,
        "deliveries": ["query", "header"],
        "unsolicited": "accept",
    }
    toml = "".join(table(f"providers.p{number}", {**settings, "default": number == 0}) for number in range(PROVIDERS))
    env = program_environment("SP", folder, f"http://127.0.0.1:{port}", toml)
    with RunningProgram("run_sp.py", port, folder, env) as program:
        yield program


def made_up() -> str:
    """Return a token as anyone can make it up."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "k"}, {"iat": 1})]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"x" * 256])


def sign_in(client: httpx.Client) -> httpx.Response:
    return client.get("/sso/login/jwt", params={"jwt": made_up()})


def sign_out(client: httpx.Client) -> httpx.Response:
    return client.post("/sso/logout/backchannel", data={"logout_token": made_up()})


def client_of(url: str) -> httpx.Client:
    """Return a client that is made once: making one costs more processor time than the answer."""
    return httpx.Client(base_url=url, trust_env=False, timeout=SECONDS)


@pytest.mark.parametrize(("present", "addresses"), [(sign_in, 1), (sign_out, PROVIDERS)], ids=["sign_in", "sign_out"])
def test_attack_made_up_tokens_hold_no_threads_while_the_address_of_the_keys_hangs(
    gateway: RunningProgram, present: Callable[[httpx.Client], httpx.Response], addresses: int
) -> None:
    over, answered = threading.Event(), []

    def stranger() -> None:
        with client_of(gateway.url) as client:
            while not over.wait(PAUSE):
                client.cookies.clear()
                began = time.monotonic()
                status = present(client).status_code
                answered.append((time.monotonic() - began, status))

    strangers = [threading.Thread(target=stranger) for _number in range(STRANGERS)]
    for thread in strangers:
        thread.start()
    try:
        with client_of(gateway.url) as client:
            waits = [health(client) for _try in range(TRIES)]
    finally:
        over.set()
        for thread in strangers:
            thread.join()
    assert sorted(waits)[len(waits) // 2] < HEALTH_SECONDS, waits
    assert max(answered)[0] < ANSWER_SECONDS, sorted(answered)[-10:]
    patient = [seconds for seconds, _status in answered if seconds > LONG]
    assert len(patient) <= 2 * WAITERS * addresses, sorted(patient)
    assert {status for _seconds, status in answered} <= {303, 400, 503}, sorted(answered)[:5]


def health(client: httpx.Client) -> float:
    """Return the best of a few waits for /healthz, a moment apart."""
    waits = []
    for _request in range(REQUESTS):
        began = time.monotonic()
        assert client.get("/healthz").status_code == 200
        waits.append(time.monotonic() - began)
    time.sleep(0.5)
    return min(waits)
