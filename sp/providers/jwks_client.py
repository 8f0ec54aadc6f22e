"""Fetch and cache the keys that an identity provider publishes at its JWKS endpoint.

A sign-in must depend on that endpoint as little as possible. So fetched keys are used for five minutes without another
fetch. After a failure, the next fetch begins at least 30 seconds later, or one second later if there are no keys to
use. Fetches run in a separate thread, one at a time.

If the endpoint fails, the last good keys stay in use for at most SP_JWKS_MAX_STALE seconds (by default a day), even
after a restart. So an attacker who has stolen a key, and can block the endpoint, cannot use that key for longer. Each
published key set replaces the old keys, even if none of its keys can be used, because a provider withdraws a key by no
longer publishing it.

A token cannot choose where keys come from. It can only cause another fetch of the same URL, at most every 10 seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shared.clock import time_now
from shared.errors import KeyUnavailable, TokenMalformed
from shared.keys import KeyRefused, KeySet, TokenKey, load_jwk
from shared.outbound import ExchangeFailed, exchange
from shared.tokens import read_object
from sp.providers.patience import GLANCE, MOST_SECONDS, Patience

FETCH_SECONDS = 5.0  # for a whole fetch
PATIENCE = 1.0  # seconds that a sign-in waits for a URL that failed before
MAX_BYTES = 256 * 1024  # bytes of a key set; the largest known sets are a tenth of this size
MAX_KEYS = 50  # keys of a set; limited because a token without a kid is tried against each key
FRESH = 300  # seconds for which keys are used without another fetch
STALE = 3600  # age in seconds; if keys are older, a sign-in waits for the fetch, otherwise it uses the cached keys
MAX_STALE = 86_400  # seconds for which the last good keys are used while the URL fails; SP_JWKS_MAX_STALE
SAVES = 24  # how often unchanged keys are saved in MAX_STALE, so that after a restart the age of the keys is known
RETRY = 30  # seconds between two attempts to fetch from a URL that fails, while there are keys to use
RETRY_WITHOUT_KEYS = 1  # seconds between two attempts while there are no keys to use
UNKNOWN_KEY = 10  # seconds between two fetches that tokens with an unknown key can cause
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}  # RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1

log = logging.getLogger("lychgate")


class KeyCopies(Protocol):
    """Stores the last good keys of each provider, so that the gateway can start while the URL fails.

    If keys cannot be stored, no error is raised.
    """

    def load(self, provider: str, url: str) -> tuple[list[Mapping[str, Any]], float]:
        """Return the JWKs saved for *provider* and *url*, and when they were fetched, in seconds since 1970.

        The list is empty if no keys are saved that can be trusted.
        """

    def save(self, provider: str, url: str, jwks: Sequence[Mapping[str, Any]]) -> None:
        """Store *jwks* with the present time. They replace the copy for *provider*."""


def fetch(url: str) -> bytes:
    """Return the content of *url*, or raise ExchangeFailed."""
    headers = {"Accept": "application/jwk-set+json, application/json"}
    answer = exchange(url, seconds=FETCH_SECONDS, most_bytes=MAX_BYTES, headers=headers)
    if answer.status != 200:
        raise ExchangeFailed(f"it answered {answer.status}")  # a redirect too: the setting must be the final URL
    return answer.body


def parse_key_set(octets: bytes, algorithm: str) -> KeySet:
    """Return the keys for *algorithm* in a JWK Set (RFC 7517, section 5). Raises ExchangeFailed if the set is invalid.

    A key is ignored if it is of another kind, broken, weak or private. RFC 7517 says: "Implementations SHOULD ignore
    JWKs within a JWK Set that use kty values that are not understood by them, that are missing required members, or for
    which values are out of the supported ranges."
    """
    try:
        members = read_object(octets, "answer").get("keys")
    except TokenMalformed as rejection:
        raise ExchangeFailed(rejection.detail) from rejection
    if not isinstance(members, list):
        raise ExchangeFailed("the response is not a key set: it has no list named keys")
    return KeySet(tuple(_usable(members, algorithm))[:MAX_KEYS])


class KeyEndpoint:
    """The keys of one provider at one URL. Any number of threads may call it at the same time."""

    def __init__(
        self,
        provider: str,
        url: str,
        algorithm: str,
        copies: KeyCopies,
        *,
        max_stale: float = MAX_STALE,
        fetch: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time_now,
    ) -> None:
        self.provider, self.url, self.algorithm = provider, url, algorithm
        self._copies, self._fetch, self._max_stale = copies, fetch, max_stale
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = threading.Lock()
        self._under_way: threading.Event | None = None
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = self._looked_for_unknown_at = self._saved_at = float("-inf")
        self._confirmed_at = float("-inf")  # when the URL last published the keys, which may be before a restart
        self._problem = ""

    def keys(self, patience: Patience | None = None) -> KeySet:
        """Return the keys that are valid now. Raises KeyUnavailable if there are none, or if they are too old."""
        age = self._clock() - self._fetched_at
        usable = self._can_go_on()
        if age >= FRESH or not usable:
            look = self._look(RETRY if usable else RETRY_WITHOUT_KEYS)
            if look is not None and (not usable or (age >= STALE and not self._problem)):
                self._wait(look, patience or Patience())
        keys = self._keys
        if keys is None:
            problem = self._problem or "it takes long, and others wait for it already"
            raise KeyUnavailable(f"the keys of {self.provider} cannot be fetched: {problem}")
        if self._is_too_old():
            raise KeyUnavailable(f"the keys of {self.provider} were last fetched too long ago: {self._problem}")
        if not keys.keys:
            raise KeyUnavailable(f"{self.provider} publishes no key that could verify {self.algorithm}")
        return keys

    def _can_go_on(self) -> bool:
        """Tell whether there are keys to use even if the next fetch fails."""
        return self._keys is not None and bool(self._keys.keys) and not self._is_too_old()

    def _is_too_old(self) -> bool:
        return self._clock() - self._confirmed_at >= self._max_stale

    def newer_than(self, tried: KeySet, patience: Patience | None = None) -> KeySet | None:
        """Return newer keys than *tried*, or None.

        If there are none yet, and the last such fetch was not recent, fetch again.

        Raises KeyUnavailable if too many requests are already waiting for keys.
        """
        with self._lock:
            may_look = self._clock() - self._looked_for_unknown_at >= UNKNOWN_KEY
            if may_look and self._under_way is None and self._keys is tried:
                self._looked_for_unknown_at = self._clock()
                look: threading.Event | None = self._begin()
            else:
                look = self._under_way
        if look is not None and not self._wait(look, patience or Patience()) and self._keys is tried:
            raise KeyUnavailable(f"the keys of {self.provider} are being fetched, and too many wait for them already")
        return self._keys if self._keys is not tried else None

    def _look(self, interval: float) -> threading.Event | None:
        """Start a fetch if none is running and the last one began at least *interval* seconds ago.

        Return an event that is set when the running fetch ends. If none is running, return None.
        """
        with self._lock:
            if self._under_way is None and self._clock() - self._tried_at >= interval:
                return self._begin()
            return self._under_way

    def _begin(self) -> threading.Event:
        self._tried_at = self._clock()
        self._under_way = done = threading.Event()
        name = f"keys of {self.provider}"
        threading.Thread(target=self._refresh, args=(done,), name=name, daemon=True).start()
        return done

    def _wait(self, look: threading.Event, patience: Patience) -> bool:
        """Wait for a fetch, but only briefly if the last one failed. Tell whether this request was allowed to wait.

        It is not allowed if too many requests are already waiting.
        """
        glance = 0.0 if self._problem else max(0.0, GLANCE - (self._clock() - self._tried_at))
        fetched = patience.wait(look, glance, PATIENCE if self._problem else MOST_SECONDS)
        if fetched is False and not look.is_set():
            self._problem = self._problem or "it takes too long"  # name resolution may exceed the time limit
        return fetched is not None

    def _refresh(self, done: threading.Event) -> None:
        try:
            keys = parse_key_set(self._fetch(self.url), self.algorithm)
            self._problem, self._fetched_at = "", self._clock()
            self._confirmed_at = self._fetched_at
            is_news = keys != self._keys
            if is_news:
                self._keys = keys  # replaced only if the keys changed, because `newer_than` compares object identity
            if is_news or self._fetched_at - self._saved_at >= self._max_stale / SAVES:
                self._saved_at = self._fetched_at
                self._copies.save(self.provider, self.url, [_published(key) for key in keys.keys])
        except ExchangeFailed as error:
            self._problem = str(error)
            log.warning("the keys of %s at %s cannot be fetched: %s", self.provider, self.url, error)
            if self._keys is None:
                self._keys = self._saved()
        except Exception:  # an unexpected error must not leave the event unset and all threads waiting
            self._problem = "an unexpected error; see the log"
            log.exception("the keys of %s could not be taken over", self.provider)
        finally:
            with self._lock:
                self._under_way = None
            done.set()

    def _saved(self) -> KeySet | None:
        jwks, at = self._copies.load(self.provider, self.url)
        keys = tuple(_usable(jwks, self.algorithm))
        if not keys:
            return None
        # A time in the future shows that the clock is or was wrong. So the keys count as equally far in the past.
        self._confirmed_at = self._clock() - abs(self._wall_clock() - at)
        log.warning("the last good keys of %s are used instead", self.provider)
        return KeySet(keys)


def _usable(members: Sequence[Any], algorithm: str) -> list[TokenKey]:
    """Return the keys of *members* that can verify *algorithm*, without duplicates."""
    found: dict[str, TokenKey] = {}
    for member in members:
        try:
            key = _load(member, algorithm)
        except KeyRefused as refusal:
            log.debug("a member of a key set is left out: %s", refusal)
        else:
            found.setdefault(f"{key.kid} {key.fingerprint}", key)
    return list(found.values())


def _published(key: TokenKey) -> dict[str, Any]:
    """Return the key as a JWK. If it was published without a kid, the JWK has no kid either."""
    return {name: value for name, value in key.public_jwk().items() if name != "kid" or key.kid is not None}


def _load(member: Any, algorithm: str) -> TokenKey:
    if not isinstance(member, dict):
        raise KeyRefused("it is not a JSON object")
    if PRIVATE_MEMBERS & member.keys():
        raise KeyRefused("it is a private key or a secret, which everybody knows by now")
    if not isinstance(member.get("kid", ""), str):
        raise KeyRefused("its kid is not a string")
    return load_jwk(member, algorithm)
