"""The cache of sessions is bounded, and a full one forgets the oldest readings only."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread

from sp.sessions.cache import SessionCache


@dataclass(frozen=True)
class Reading:
    """A session as it was read."""

    id_hash: bytes
    version: int = 0


def reading(number: int, *, version: int = 0) -> Reading:
    """Return a reading of the session *number*."""
    return Reading(number.to_bytes(4), version)


def test_a_full_cache_drops_only_the_oldest_readings_so_that_a_flood_of_sessions_causes_no_burst_of_queries() -> None:
    cache: SessionCache[Reading] = SessionCache(limit=3)
    for number in range(4):
        cache.put(reading(number))
    assert [cache.get(number.to_bytes(4)) is not None for number in range(4)] == [False, True, True, True]


def test_a_session_that_is_read_again_is_the_newest() -> None:
    cache: SessionCache[Reading] = SessionCache(limit=2)
    cache.put(reading(1))
    cache.put(reading(2))
    cache.put(again := reading(1, version=1))
    cache.put(reading(3))
    assert cache.get((1).to_bytes(4)) is again
    assert cache.get((2).to_bytes(4)) is None


def test_a_session_that_ended_is_dropped_and_so_are_all() -> None:
    cache: SessionCache[Reading] = SessionCache()
    first, second = reading(1), reading(2)
    cache.put(first)
    cache.put(second)
    cache.drop(first.id_hash)
    cache.drop(first.id_hash)
    assert cache.get(first.id_hash) is None
    assert cache.get(second.id_hash) is second
    cache.clear()
    assert len(cache) == 0


def test_threads_that_fill_and_empty_it_at_once_do_not_disturb_each_other() -> None:
    cache: SessionCache[Reading] = SessionCache(limit=8)
    failures: list[Exception] = []

    def use(offset: int) -> None:
        try:
            for number in range(2_000):
                cache.put(reading(offset + number % 20))
                cache.drop((offset + number % 7).to_bytes(4))
                if number % 50 == 0:
                    cache.clear()
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=use, args=(10 * offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
