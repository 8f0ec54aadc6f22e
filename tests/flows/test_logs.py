"""What a run leaves in logs and tables: enough to find a sign-in, but no secret with which to repeat it."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from lab.cast import ALICE, stranger
from lab.journeys import sign_in, sign_out
from lab.leaks import TOKEN_LIKE, assert_no_secret_in
from lab.minting import mint, profile_claims
from lab.pair import Pair
from tests.support.cluster import running_cluster

HEADERS = {"Accept": "text/html"}


@pytest.fixture
def client(pair: Pair) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pair.sp.url, headers=HEADERS, trust_env=False) as client:
        yield client


@pytest.fixture
def token(pair: Pair) -> str:
    return mint(profile_claims(stranger(), issuer=pair.idp.url, audience=pair.sp.url), pair.key)


@pytest.mark.browser
def test_a_sign_in_and_a_sign_out_leave_no_token_session_id_or_nonce_in_any_log(page: Page, pair: Pair) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    sign_in(page, pair, ALICE, "/reports")
    cookies = [cookie["value"] for cookie in page.context.cookies()]
    sign_out(page, pair)
    carried = [value for address in addresses for value in secrets_in(address)]
    assert len(carried) >= 4  # nonce, token, nonce again beside the form, sign-out token
    assert_no_secret_in(pair.sp.log + pair.idp.log, [*cookies, *carried, ALICE.password])


@pytest.mark.parametrize(
    "send",
    [
        lambda client, token: client.get("/sso/login/jwt", params={"jwt": token}),
        lambda client, token: client.get("/sso/login/jwt", params={"jwt": token[:-9]}),
        lambda client, token: client.get("/sso/login/jwt", params={"token": token, "JWT": token}),
        lambda client, token: client.post("/sso/login/jwt", data={"jwt": token}),
        lambda client, token: client.get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"}),
        lambda client, token: client.get(f"/sso/login/jwt/{token}"),
        lambda client, token: client.get(f"/sso/login/jwt/{token.replace('.', '%2e')}"),
        lambda client, token: client.get("/reports", params={"jwt": token}),
        lambda client, token: client.get(f"/{token}"),
        lambda client, token: client.get("/sso/start", params={"return_to": f"/?jwt={token}"}),
        lambda client, token: client.get("/access/jwt/error", params={"code": token, "reference": token}),
        lambda client, token: client.get("/login", headers={"Referer": f"http://x/?jwt={token}", "User-Agent": token}),
        lambda client, token: client.get("/sso/logout/jwt", params={"jwt": token}),
        lambda client, token: client.get("/account", headers={"Cookie": f"sp_session={token}"}),
    ],
    ids=[
        "in the query",
        "cut off",
        "under another name",
        "posted",
        "in the header",
        "in the path",
        "in the path, encoded",
        "to the application",
        "as a path of the application",
        "in the return address",
        "to the error page",
        "in the referrer and the user agent",
        "to the sign-out",
        "as a cookie",
    ],
)
def test_a_token_is_not_written_down_however_it_comes(
    send: Callable[[httpx.Client, str], httpx.Response], client: httpx.Client, token: str, pair: Pair
) -> None:
    answer = send(client, token)
    assert answer.status_code < 500
    assert_no_secret_in(pair.sp.log, [token, token.split(".")[2]])


def test_a_refusal_is_found_by_the_reference_that_the_person_reads(client: httpx.Client, pair: Pair) -> None:
    forged = mint(profile_claims(stranger(), issuer=pair.idp.url, audience=pair.sp.url), "not the key" * 4)
    answer = client.get("/sso/login/jwt", params={"jwt": forged})
    (reference,) = parse_qs(urlsplit(answer.headers["location"]).query)["reference"]
    (line,) = [line for line in pair.sp.log.splitlines() if reference in line]
    assert "signature_invalid" in line


@pytest.mark.parametrize("program", ["sp", "idp"])
def test_a_newline_in_a_path_forges_no_line_of_a_log(program: str, pair: Pair) -> None:
    running = getattr(pair, program)
    before = len(running.log)
    path = "/nothing-here%0a2026-01-01%20INFO%20lychgate:%20forged%0d%1b%5b2J%c2%9b31m%e2%80%ae%e2%80%a8"
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        client.get(path)
        client.get("/the-end-of-this-test")
    lines = running.wait_for_log("/the-end-of-this-test", before).split("\n")
    assert any(r"/nothing-here\n2026-01-01 INFO lychgate: forged" in line for line in lines)
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert all(line.isprintable() for line in lines)


def test_when_the_tables_are_gone_the_log_holds_no_token(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=1) as cluster:
        token = cluster.token(ALICE.email)
        with closing(sqlite3.connect(tmp_path / "sp.sqlite3")) as connection:
            for table in ("spent_token", "session", "activity"):
                connection.execute(f"DROP TABLE {table}")
        (node,) = cluster.nodes
        answer = httpx.get(f"{node.url}/sso/login/jwt", params={"jwt": token}, headers=HEADERS, trust_env=False)
        assert parse_qs(urlsplit(answer.headers["location"]).query)["code"] == ["store_unavailable"]
        assert "could not be written to the activity log" in node.log
        assert_no_secret_in(node.log, [token.split(".")[2]])


def test_no_token_is_kept_in_any_table(client: httpx.Client, token: str, pair: Pair, tmp_path: Path) -> None:
    client.get("/sso/login/jwt", params={"jwt": token}, headers={"User-Agent": token})
    for folder in (pair.sp_env["SP_INSTANCE"], pair.idp_env["IDP_INSTANCE"]):
        for file in Path(folder).glob("*.sqlite3*"):
            copy = shutil.copy(file, tmp_path / file.name)
            assert TOKEN_LIKE.search(Path(copy).read_bytes().decode("latin-1")) is None


def secrets_in(address: str) -> list[str]:
    query = parse_qs(urlsplit(address).query)
    return [value for name in ("jwt", "nonce") for value in query.get(name, [])]
