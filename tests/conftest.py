"""Fixtures of the whole suite: the real pair and a real browser.

A missing browser or server skips the tests that need it, with the reason. With CI=true a skip is a failure:
a suite that quietly tested less must not look the same as one that tested everything.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.clock import Clock
from lab.pair import Pair, running_pair
from tests.support.cheap import collect_rarely, hash_cheaply, look_when_told, share_compiled_statements
from tests.support.stores import (
    PgBouncer,
    PostgreSQL,
    Redis,
    find_postgresql,
    find_redis,
    running_pgbouncer,
    running_postgresql,
    running_redis,
)
from tests.support.temporary import use_memory

if TYPE_CHECKING:  # Playwright is imported by the fixtures that use it: a unit test starts without it
    from playwright.sync_api import Browser, BrowserContext, Page

    from lab.browser import Chromium
    from tests.support.watch import Watch

BROWSER_WAIT_MS = 15_000  # a page that takes longer is broken, even on busy cores

StartPair = Callable[..., AbstractContextManager[Pair]]
NewContext = Callable[..., "BrowserContext"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest module, whose tests share one walk through all pages: at the end the others would wait."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/flows/test_pages.py"))


def pytest_configure() -> None:
    """Choose the folder of temporary files before the first one is made, and make cheap what all tests do."""
    use_memory()
    share_compiled_statements()
    hash_cheaply()
    collect_rarely()
    look_when_told()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair for tests that leave it as they found it, but for sessions and new accounts."""
    from tests.support.tour import RULES

    with running_pair(tmp_path_factory.mktemp("pair"), rules=RULES) as running:
        yield running


@pytest.fixture
def own_pair(tmp_path: Path) -> Iterator[Pair]:
    """A pair for one test alone, which may break it."""
    with running_pair(tmp_path) as running:
        yield running


@pytest.fixture
def start_pair(tmp_path: Path) -> StartPair:
    """Return the function that starts a pair with settings of the test's own; see `running_pair`."""
    return partial(running_pair, tmp_path)


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The time of day in this process, which a test may move."""
    moved = Clock()
    yield moved
    moved.reset()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of this worker's own; each test makes itself a database in it."""
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine; tools/system-packages installs it")
    with running_postgresql(binaries) as server:
        yield server


@pytest.fixture
def pgbouncer(postgresql: PostgreSQL) -> Iterator[PgBouncer]:
    """A pooler in front of the worker's PostgreSQL server, in transaction mode."""
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        pytest.skip("no PgBouncer on this machine; tools/system-packages installs it")
    with running_pgbouncer(binary, postgresql) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis server of this worker's own."""
    binary = find_redis()
    if binary is None:
        pytest.skip("no Redis on this machine; tools/system-packages installs it")
    with running_redis(binary) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The machine's Chromium, for a test that starts its own."""
    from playwright.sync_api import expect, sync_playwright

    from lab.browser import Chromium

    with sync_playwright() as playwright:
        expect.set_options(timeout=BROWSER_WAIT_MS)
        found = Chromium.find(playwright)
        if found is None:
            pytest.skip("no Chromium on this machine; tools/system-packages installs it")
        yield found


@pytest.fixture(scope="session")
def browser(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium, started once in each worker."""
    running = chromium.launch(tmp_path_factory.mktemp("browser-home"))
    yield running
    running.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[NewContext]:
    """Return the function that makes a browser without a past: no cookies, no cache. Each one is watched."""
    from tests.support.watch import Watch

    made: list[tuple[BrowserContext, Watch]] = []

    def make(**options: Any) -> BrowserContext:
        fresh = browser.new_context(**options)
        fresh.set_default_timeout(BROWSER_WAIT_MS)
        made.append((fresh, Watch(fresh)))
        return fresh

    yield make
    for context, _watch in made:
        context.close()
    for _context, watch in made:
        watch.assert_calm()


@pytest.fixture
def context(new_context: NewContext) -> BrowserContext:
    """A browser without a past."""
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab in that browser."""
    return context.new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        fail_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_skipped_in_ci(report)
    return report


def fail_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI=true, where a skip is a failure: {reason}"
