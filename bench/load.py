"""Measure requests per second with wrk, a client that is much faster than the servers it measures."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

CONNECTIONS = 8
SECONDS = 1


def requests_per_second(url: str, cookie: str = "", headers: Mapping[str, str] | None = None) -> float:
    """Return how many answers per second *url* gives, measured for SECONDS seconds. Each status must be below 400."""
    return load(url, cookie, headers).rate


@dataclass(frozen=True)
class Load:
    """The rate in requests per second, and the total number of requests."""

    rate: float
    requests: int


def load(url: str, cookie: str = "", headers: Mapping[str, str] | None = None) -> Load:
    """Request *url* over CONNECTIONS connections, for SECONDS seconds. Each status must be below 400."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("This part needs wrk: apt-get install wrk")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", "Accept: text/html"]
    for name, value in {**({"Cookie": cookie} if cookie else {}), **(headers or {})}.items():
        command += ["-H", f"{name}: {value}"]
    report = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report:
        raise AssertionError(f"{url} refused some of the requests:\n{report}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", report)
    count = re.search(r"(\d+) requests in", report)
    if found is None or count is None:
        raise AssertionError(report)
    return Load(float(found[1]), int(count[1]))


def answer(url: str, cookie: str = "") -> tuple[int, bytes]:
    """Return the status and body of the answer to one request. Follow no redirect."""
    headers = {"Accept": "text/html"} | ({"Cookie": cookie} if cookie else {})
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        """Follow no redirect."""
