"""Put the file of SP_CONFIG in force, at start and again when it has changed, without a restart.

Each worker checks the file on its node. It compares the file's times and size with the last ones, at least once within
SP_SESSION_CACHE seconds, and at once after SIGHUP. Only threads of this module do this, so no request and no event loop
waits for the disk, the database, or another process that writes the file.

A changed file is put in force in these steps:

1. Wait until the file is complete. An editor may save a file in two steps, so the file is read only if two checks,
   SETTLED seconds apart, find it unchanged. The file's times are compared only with each other and not with the clock,
   because a file server has another clock.
2. Run the file's tests, and apply its providers.
3. Replace all rules and sites at once.

If the file has any error, nothing changes, and `state` gives the reason. If a changed file no longer names a provider,
the provider is only disabled. It is removed at the next start. So no key is lost if a half-written file was put in
force.

`state` also lists changes that need a restart, because a worker imports the application of a site only when the worker
starts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.errors import StoreUnavailable
from shared.settings import SettingsRefused
from sp.config import Config, read_access
from sp.policy.rule_tests import StoredAccount
from sp.providers.apply import ProvidersRefused
from sp.routes import Routes
from sp.sites.access_file import AccessFile, run_tests
from sp.sites.in_force import InForce, Rulebook
from sp.sites.site import Site

SETTLED = 0.5  # seconds for which a file must not change before it counts as completely written
ROUNDS = 10  # attempts to read a file that keeps changing; after that, it is read at the next regular check
HEADROOM = SETTLED + 0.5  # seconds of SP_SESSION_CACHE reserved for waiting, reading, tests and providers
SHORTEST = 0.5  # seconds between two checks, even if SP_SESSION_CACHE is 0 or 1

log = logging.getLogger("lychgate")

RETRY_SECONDS = 1.0  # a file that kept changing, or could not be applied without the database, is read again after that

Signature = tuple[int, ...] | None
UNREAD: Signature = ()


@dataclass(frozen=True)
class FileState:
    """The differences between the file of SP_CONFIG and the rules in force, one line for each.

    `mistakes` say why the present file is not in force. `restart` are changes that need a restart. `undecided` are
    tests about accounts that do not exist.
    """

    mistakes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


class Reloader:
    """Replaces the sites and rules in force in this worker.

    *find* returns the account with an e-mail address. *apply* applies the providers of a file; its second argument says
    whether to remove providers that the file no longer names. *record* stores the sites that are in force. Each of the
    three may raise StoreUnavailable.
    """

    def __init__(
        self,
        config: Config,
        rulebook: Rulebook,
        *,
        find: Callable[[str], StoredAccount | None],
        apply: Callable[[Mapping[str, Any], bool], None],
        record: Callable[[InForce], None],
    ) -> None:
        self._config, self._rulebook = config, rulebook
        self._find, self._apply, self._record = find, apply, record
        self._own = Routes(config.prefix)
        self._loaded = {site.name: site.app for site in config.sites if site.app}
        self._document: Mapping[str, Any] = config.document
        self._signature = UNREAD
        self._not_before = 0.0
        self._told: list[str] = []
        self._lock = threading.Lock()
        self._is_recorded = True
        self.cache = config.session_cache
        self.interval = max(self.cache - HEADROOM, SHORTEST)
        self.state = FileState()
        self.due = float("inf")  # time.monotonic() from which on a request starts a check

    def begin(self) -> None:
        """Apply the file that the program starts with. Raises SettingsRefused with every error."""
        undecided = self._test()
        self._apply_providers(self._config.document, removes=True)
        self.state = FileState(undecided=undecided)

    def begin_for_command(self) -> None:
        """Apply the file before a command. If tests in the file fail, log a warning instead of applying it.

        Raises SettingsRefused for errors in providers.
        """
        try:
            self._test()
        except SettingsRefused as refusal:
            log.warning("the providers of SP_CONFIG are not applied: %s", "; ".join(refusal.mistakes))
        else:
            self._apply_providers(self._config.document, removes=True)

    def _test(self) -> tuple[str, ...]:
        access = AccessFile(self._config.rules, self._config.sites, self._config.tests)
        tests = run_tests(access, self._own, self._find)
        if tests.failed:
            raise SettingsRefused([f"{self._config.file}: {failed}" for failed in tests.failed])
        return tests.undecided

    def begin_without_file(self, refusal: SettingsRefused) -> None:
        """Begin with the stored rules, because the file has errors. The first check reads the file again."""
        self.state = FileState(tuple(refusal.mistakes))

    def serve(self) -> None:
        """Store the sites and rules in force, and check the file from now on."""
        self._is_recorded = False
        self._try_to_record()
        if self._config.file is not None:
            self.keep_looking()

    def keep_looking(self) -> None:
        """Check the file regularly from now on, in this process and in its forks."""
        self.due = time.monotonic() + self.interval
        _serving.add(self)
        _start_thread(self)

    def request(self) -> None:
        """Load the file now, in a thread, even if it seems unchanged. Other files that it names may have changed."""
        self._look_in_thread(force=True)

    def look_soon(self) -> None:
        """Check the file in a thread, and return at once. A request calls this if it arrives when a check is due."""
        self.due = time.monotonic() + self.interval  # so the next request does not start another thread
        self._look_in_thread(force=False)

    def _look_in_thread(self, *, force: bool) -> None:
        threading.Thread(target=self.look, kwargs={"force": force}, name="lychgate-reload", daemon=True).start()

    def look(self, *, force: bool = False) -> None:
        """Put the file in force if it has changed.

        It may wait until the file no longer changes, and then for the database. With *force*, the file is read even if
        it seems unchanged, after a check in another thread has ended. Without *force*, return at once if another thread
        is already checking the file.
        """
        file = self._config.file
        if file is None or (not force and time.monotonic() < self._not_before):
            return
        if not self._lock.acquire(blocking=force):
            return
        try:
            if not self._is_recorded:
                self._try_to_record()
            if force:
                self._told = []
            if force or signature_of(file) != self._signature:
                self._take_over(file)
        finally:
            self.due = time.monotonic() + self.interval
            self._lock.release()

    def after_fork(self) -> None:
        """Start the thread that checks the file in the child of a fork. Only the thread that forked survives a fork."""
        self._lock = threading.Lock()
        _start_thread(self)

    def _take_over(self, file: Path) -> None:
        try:
            found = self._read(file)
            if found is None:
                self._try_later()
                return
            signature, document, access = found
            if not document and self._document:
                raise SettingsRefused([f"{file}: is empty. An empty file is put in force at a restart only"])
            if document != self._document:
                self._put_in_force(file, document, access)
            elif self.state.mistakes:
                log.info("%s is what is in force again", file)
                self._told = []
                self.state = FileState((), self.state.restart, self.state.undecided)
            self._signature = signature
        except SettingsRefused as refusal:
            self._signature = signature_of(file)
            self._reject(file, refusal.mistakes)
        except StoreUnavailable as error:
            self._try_later()
            self._reject(file, [f"{file}: the database cannot be reached, so it is tried again later: {error.detail}"])
        except Exception as error:  # an unexpected error must not stop the thread
            log.exception("%s could not be read", file)
            self._signature = signature_of(file)
            self._reject(file, [f"{file}: could not be read: {type(error).__name__}"])

    def _try_later(self) -> None:
        self._signature = UNREAD
        self._not_before = time.monotonic() + RETRY_SECONDS

    def _read(self, file: Path) -> tuple[Signature, dict[str, Any], AccessFile] | None:
        """Return the content of *file* as soon as it stays unchanged. If it keeps changing, return None.

        Raises SettingsRefused.
        """
        for _round in range(ROUNDS):
            before = signature_of(file)
            settle()
            if signature_of(file) != before:
                continue
            try:
                document, access = read_access(self._config, file)
            except SettingsRefused:
                if signature_of(file) != before:
                    continue
                raise
            if signature_of(file) == before:
                return before, document, access
        return None

    def _put_in_force(self, file: Path, document: Mapping[str, Any], access: AccessFile) -> None:
        tests = run_tests(access, self._own, self._find)
        if tests.failed:
            raise SettingsRefused([f"{file}: {failed}" for failed in tests.failed])
        self._apply_providers(document, removes=False)
        config = self._config.with_access(access)
        self._rulebook.current = InForce.of(config.all_sites, config.host)
        self._document = document
        self._told = []
        self.state = FileState((), restart_notes(access, self._loaded), tests.undecided)
        self._is_recorded = False
        self._try_to_record()
        log.info("%s has changed and is in force", file)
        for note in (*self.state.restart, *self.state.undecided):
            log.warning("%s: %s", file, note)

    def _apply_providers(self, document: Mapping[str, Any], *, removes: bool) -> None:
        try:
            self._apply(document, removes)
        except ProvidersRefused as error:
            raise SettingsRefused([f"providers.{mistake}" for mistake in error.mistakes]) from error

    def _reject(self, file: Path, mistakes: list[str]) -> None:
        if self._told != mistakes:  # log an error only once, even if the file is read again
            log.error("%s is not used; the previous settings stay in force: %s", file, "; ".join(mistakes))
        self._told = mistakes
        self.state = FileState(tuple(mistakes), self.state.restart, self.state.undecided)

    def _try_to_record(self) -> None:
        try:
            self._record(InForce.of(as_loaded(self._rulebook.current, self._loaded), self._config.host))
            self._is_recorded = True
        except StoreUnavailable as error:
            log.warning("what is in force could not be stored for `config plan`: %s", error.detail)


def restart_notes(access: AccessFile, loaded: Mapping[str, str]) -> tuple[str, ...]:
    """Return notes on changes in a file that need a restart. *loaded* names the running applications by site."""
    notes = []
    for site in access.sites:
        if site.app != loaded.get(site.name, ""):
            what = f"load {site.app}" if site.app else f"stop serving {loaded[site.name]}"
            notes.append(f"sites.{site.name}.app: restart the gateway to {what}")
    return tuple(notes)


def as_loaded(in_force: InForce, loaded: Mapping[str, str]) -> list[Site]:
    """Return the sites, each with the application that is running and not the application that the file names."""
    return [site if site.is_home else replace(site, app=loaded.get(site.name, "")) for site in in_force.sites]


def settle() -> None:
    """Wait for the time during which a file must not change."""
    time.sleep(SETTLED)


def signature_of(file: Path) -> Signature:
    """Return a value that changes with *file*, or None if it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


_serving: weakref.WeakSet[Reloader] = weakref.WeakSet()


def _start_thread(reloader: Reloader) -> None:
    """Start a thread that checks the file regularly, so that a change is noticed even if there are no requests.

    The thread ends when *reloader* no longer exists.
    """
    known, pause = weakref.ref(reloader), reloader.interval / 2

    def keep_looking() -> None:
        while True:
            time.sleep(pause)
            if (found := known()) is None:
                return
            try:
                found.look()
            except Exception:
                log.exception("the file of SP_CONFIG could not be looked at")
            del found

    threading.Thread(target=keep_looking, name="lychgate-file", daemon=True).start()


def _after_fork() -> None:
    for reloader in _serving:
        reloader.after_fork()


os.register_at_fork(after_in_child=_after_fork)
