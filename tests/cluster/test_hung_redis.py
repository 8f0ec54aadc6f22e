"""When Redis hangs, only requests that need it fail: soon, and with a code."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.cast import CAROL
from lab.programs import flask_command
from tests.support.cluster import OPENED, Cluster, running_cluster, send
from tests.support.stores import Redis

pytestmark = pytest.mark.cluster

AT_ONCE = 8  # sign-ins that find out together that Redis hangs
LONGEST = 5.0  # seconds for any answer
UNAFFECTED = 1.0  # seconds for an answer that needs no Redis
RECOVERY = 20.0  # seconds
UNAVAILABLE = re.compile(r"303 /access/jwt/error\?code=store_unavailable&reference=\w+\Z")


def test_attack_a_hung_redis_holds_up_neither_local_sign_ins_nor_healthz_and_mends_by_itself(
    tmp_path: Path, redis_server: Redis
) -> None:
    """On SQLite, whose one writer must not wait for Redis, and with one worker, so that no other can help."""
    one = running_cluster(tmp_path, workers=1, env={"SP_REPLAY_URL": redis_server.url})
    with one as cluster, httpx.Client() as browser:
        make_administrator(cluster)
        form = open_form(cluster, browser)
        assert send_to(cluster) == OPENED
        refused = [cluster.token(f"person-{number}@example.com") for number in range(AT_ONCE)]
        with redis_server.hanging():
            token_answers, others = [], []
            calls: list[Callable[[], Any]] = [lambda: timed(lambda: send_to(cluster)) for _ in range(AT_ONCE)]
            sign_ins = in_background([lambda c=call: token_answers.append(c()) for call in calls])  # type: ignore[misc]
            while not token_answers:  # the first ones wait for Redis all this time
                others.append(timed(lambda: healthz(cluster)))
                if len(others) == 3:
                    others.append(timed(lambda: sign_in_locally(cluster, browser, form)))
            join(sign_ins)
            later = [timed(lambda t=token: send_to(cluster, t)) for token in refused]  # type: ignore[misc]
            ready = httpx.get(f"{cluster.nodes[0].url}/readyz", timeout=LONGEST)
        assert len(others) >= 4
        assert max(seconds for _, seconds in others) < UNAFFECTED
        assert {outcome for outcome, _ in others} == {200, 303}
        assert max(seconds for _, seconds in [*token_answers, *later]) < LONGEST
        assert sorted(seconds for _, seconds in later)[AT_ONCE // 2] < UNAFFECTED, "each of them waited for Redis"
        assert all(UNAVAILABLE.match(outcome) for outcome, _ in [*token_answers, *later])
        assert (ready.status_code, ready.json()["missing"]) == (503, ["Redis: does not answer"])

        assert until_opened(cluster), "no sign-in works, though Redis answers again"
        opened = [send_to(cluster, token) for token in refused]
        assert opened.count(OPENED) >= AT_ONCE - 2, "tokens were spent by sign-ins that were refused without asking"


def make_administrator(cluster: Cluster) -> None:
    (node,) = cluster.nodes
    typed = f"{CAROL.password}\n"
    command = ("users", "create-admin", CAROL.email, "--password-stdin")
    flask_command("sp", *command, env=node.env, folder=node.folder, typed=typed)


def open_form(cluster: Cluster, browser: httpx.Client) -> dict[str, str]:
    page = browser.get(f"{cluster.nodes[0].url}/login?no_sso", timeout=30)
    hidden = re.findall(r'<input[^>]*type="hidden"[^>]*>', page.text)
    found = [(re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)) for tag in hidden]
    return {name[1]: value[1] for name, value in found if name and value}


def sign_in_locally(cluster: Cluster, browser: httpx.Client, form: dict[str, str]) -> int:
    data = {**form, "email": CAROL.email, "password": CAROL.password}
    url = f"{cluster.nodes[0].url}/login"
    return browser.post(url, data=data, timeout=60).status_code


def healthz(cluster: Cluster) -> int:
    return httpx.get(f"{cluster.nodes[0].url}/healthz", timeout=60).status_code


def send_to(cluster: Cluster, token: str = "") -> str:
    return send(cluster.nodes[0].port, token or cluster.token("alice@example.com"))


def until_opened(cluster: Cluster) -> bool:
    deadline = time.monotonic() + RECOVERY
    while time.monotonic() < deadline:
        if send_to(cluster) == OPENED:
            return True
    return False


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


def in_background(calls: Sequence[Callable[[], Any]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(120)
