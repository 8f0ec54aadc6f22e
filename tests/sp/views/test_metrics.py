"""How long things took, at /metrics: fixed buckets, bounded labels, right sums, of all workers together."""

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from lab.cast import ALICE
from lab.minting import mint
from shared.errors import StoreUnavailable
from sp.gateway import Gateway
from sp.metrics_counters import (
    BOUNDS,
    IN_PROCESS,
    LONGER,
    READ,
    SIGNING_IN,
    STORE,
    STORING,
    SUM,
    TIMED_EVERY,
    TOTAL,
    VERIFY,
    WRITE,
    Counters,
)
from sp.policy.decision import Verdict
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY
from tests.support.gateway import URL, core_of
from tests.support.question import answer_of

DECISION, SIGN_IN, STORES = (f"lychgate_{what}_duration_seconds" for what in ("decision", "sign_in", "store"))
MILLISECOND = 1_000_000  # nanoseconds


@pytest.fixture
def own(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})


@pytest.fixture
def client(own: Flask) -> Client:
    return Client(Gateway(Response("the application"), own))


class Measured:
    """What the histograms counted in a block: this process counts for all tests."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before = Counter(samples(client))

    def __call__(self, name: str, **labels: str) -> float:
        key = name, tuple(sorted(labels.items()))
        return Counter(samples(self._client))[key] - self._before[key]


def samples(client: Client) -> dict[Any, float]:
    text = client.get("/metrics", URL, environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).text
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def sign_in(client: Client, **more: Any) -> TestResponse:
    now = int(time.time())
    content = {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": ALICE.email, **more}
    return client.get("/sso/login/jwt", URL, query_string={"jwt": mint(content, KEY)})


def test_a_sign_in_is_timed_by_step_and_the_steps_fit_into_the_total(client: Client) -> None:
    measured = Measured(client)
    began = time.perf_counter()
    assert sign_in(client).status_code == 303
    took = time.perf_counter() - began
    assert [measured(f"{SIGN_IN}_count", step=step) for step in (VERIFY, STORE, TOTAL)] == [1, 1, 1]
    verify, store, total = (measured(f"{SIGN_IN}_sum", step=step) for step in (VERIFY, STORE, TOTAL))
    assert 0 < verify + store <= total <= took
    assert measured(f"{SIGN_IN}_bucket", step=TOTAL, le="+Inf") == 1


def test_a_rejected_sign_in_is_not_among_the_times_of_accepted_ones(client: Client) -> None:
    measured = Measured(client)
    assert sign_in(client, exp=1).status_code == 303
    token = {"jti": "twice"}
    sign_in(client, **token)
    sign_in(client, **token)
    assert measured(f"{SIGN_IN}_count", step=TOTAL) == 1


def test_the_time_that_a_person_takes_to_answer_is_not_measured(gateway: MakeGateway) -> None:
    client = Client(Gateway(Response("the application"), gateway({"corporate": CORPORATE})))
    client.get(sign_in(client).headers["Location"], URL)  # the restart
    measured = Measured(client)
    action, fields = answer_of(sign_in(client).text, "continue")
    assert client.post(action, URL, data=fields).status_code == 303
    assert measured("lychgate_events_total", event="sign_in", code="none") == 1
    assert measured(f"{SIGN_IN}_count", step=TOTAL) == 0


def test_every_nth_decision_is_timed_beginning_with_the_first() -> None:
    found = Counters()
    count = found.decisions(IN_PROCESS)
    for _ in range(TIMED_EVERY + 1):
        count(Verdict.LET_IN, time.perf_counter_ns() - 3 * MILLISECOND)
    totals = found.totals()
    assert totals["decision", IN_PROCESS, "let in"] == TIMED_EVERY + 1
    assert totals["deciding", IN_PROCESS, SUM] >= 2 * 3 * MILLISECOND
    assert sum(times for (kind, _skin, part), times in totals.items() if kind == "deciding" and part != SUM) == 2


def test_decisions_of_every_entry_point_are_timed(gateway: MakeGateway) -> None:
    client = Client(Gateway(Response("the application"), gateway(SP_TRUSTED_PROXIES="127.0.0.1")))
    here = {"REMOTE_ADDR": "127.0.0.1"}
    nginx = here | {"HTTP_X_ORIGINAL_URL": "/x", "HTTP_X_ORIGINAL_METHOD": "GET"}
    forward = here | {"HTTP_X_FORWARDED_URI": "/x", "HTTP_X_FORWARDED_METHOD": "GET"}
    forward |= {"HTTP_X_FORWARDED_HOST": "127.0.0.1:5000", "HTTP_X_FORWARDED_PROTO": "http"}
    measured = Measured(client)
    for _ in range(TIMED_EVERY):
        client.get("/x", URL, environ_overrides=here)
        client.get("/sso/auth/nginx", URL, environ_overrides=nginx)
        client.get("/sso/auth/forward", URL, environ_overrides=forward)
    for skin in ("in process", "nginx", "forward"):
        assert measured("lychgate_decisions_total", skin=skin, verdict="sign in") == TIMED_EVERY
        assert measured(f"{DECISION}_count", skin=skin) == 1


def test_a_transaction_that_fails_is_timed_too(own: Flask) -> None:
    """A store that does not answer is what one looks for."""
    client, database = Client(Gateway(Response("the application"), own)), core_of(own).database
    measured = Measured(client)
    with pytest.raises(StoreUnavailable), database.writing() as connection:
        connection.exec_driver_sql("not SQL")
    assert measured(f"{STORES}_count", operation=WRITE) == 1
    with database.reading():
        pass
    assert measured(f"{STORES}_count", operation=READ) >= 1


@pytest.mark.parametrize(
    ("took", "bucket"),
    [
        (0, BOUNDS[0]),
        (BOUNDS[0], BOUNDS[0]),
        (BOUNDS[0] + 1, BOUNDS[1]),
        (BOUNDS[-1], BOUNDS[-1]),
        (BOUNDS[-1] + 1, LONGER),
        (86_400_000 * MILLISECOND, LONGER),
    ],
)
def test_a_duration_is_in_the_first_bucket_that_holds_it(took: int, bucket: object) -> None:
    found = Counters()
    found.duration(STORING, READ, took)
    totals = found.totals()
    assert totals[STORING, READ, str(bucket)] == 1
    assert totals[STORING, READ, SUM] == took
    assert sum(totals.values()) == 1 + took


def test_the_histograms_of_all_workers_are_added_up(tmp_path: Path) -> None:
    found = Counters()
    found.share(tmp_path)
    found.duration(SIGNING_IN, TOTAL, 5 * MILLISECOND)
    (file,) = tmp_path.glob("*.counts")
    shutil.copy(file, tmp_path / "1.counts")  # of a worker that ended
    found.duration(SIGNING_IN, TOTAL, 4 * MILLISECOND)
    totals = found.totals()
    assert totals[SIGNING_IN, TOTAL, str(5 * MILLISECOND)] == 3
    assert totals[SIGNING_IN, TOTAL, SUM] == 14 * MILLISECOND


def test_buckets_are_cumulative_and_end_with_all(client: Client) -> None:
    sign_in(client)
    found = [
        value
        for (name, labels), value in samples(client).items()
        if name == f"{SIGN_IN}_bucket" and ("step", TOTAL) in labels
    ]
    assert len(found) == len(BOUNDS) + 1
    assert found == sorted(found)
    assert found[-1] == samples(client)[f"{SIGN_IN}_count", (("step", TOTAL),)]


def test_attack_no_request_makes_another_time_series(client: Client) -> None:
    sign_in(client)
    before = {key for key in samples(client) if "duration" in key[0]}
    for name in ("a", "b", "c"):
        client.open(f"/{name}", base_url=URL, method=name.upper(), headers={"X-Request-Id": name, "User-Agent": name})
        client.get(f"/sso/login/jwt/{name}", URL, query_string={"jwt": name})
        sign_in(client, email=f"{name}@example.com", iss=name, aud=name)
    assert {key for key in samples(client) if "duration" in key[0]} == before
    assert len(before) == 10 * (len(BOUNDS) + 1 + 2)
