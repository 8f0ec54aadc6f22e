"""Count how often each rule decided, and how often shadow rules would have decided differently.

As in `sp.metrics_counters`, each worker of `run_sp.py` keeps its numbers in a file that is mapped into memory. The
files are in one folder, so any worker can add up the numbers. The name of a file says to which set of rules it belongs.
When the rules change, a rule that stays the same keeps its numbers.

Single differences are stored too. For each account, rule and kind of difference, the latest one is stored. For
visitors, the latest one is stored for each rule and kind, without the path of the request, because visitors choose the
path. The number of differences is limited, separately for accounts and for visitors, so that visitors cannot displace
the differences of accounts.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from shared.clock import time_now
from shared.private_files import make_private_folder
from sp.policy.decision import Rule, Verdict
from sp.policy.explain import DECISIONS, decided, describe

DECIDED = "decided"
DIFFERENCES = {decision: f"would-{decision}" for decision in DECISIONS}
NO_RULE = 0  # the rule number of a decision for which no rule matched
FOR_ACCOUNTS, FOR_VISITORS = 192, 64  # the largest number of stored differences, in each worker
RECORD = 256  # bytes of a stored difference
MAX_PATH = 80  # characters of a path in a record
COUNTS, LATEST = ".rules", ".differences"

Slot = tuple[str, str, str]
"""A site, a rule in words (empty if no rule matched), and DECIDED or one of DIFFERENCES."""


@dataclass(frozen=True)
class ShadowDifference:
    """A decision that a shadow rule would have changed. `now` is the actual decision.

    `account` is the id of the person's account. It is None for visitors.
    """

    site: str
    rule: int
    difference: str
    now: str
    account: int | None
    method: str
    path: str
    at: int
    times: int = 1


class RuleCounts:
    """The numbers of this process. If other processes use the same *folder*, their numbers can be added.

    `began_at` is the time when this process began to count, in seconds since 1970.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.began_at = time_now()
        self._lock = threading.Lock()
        self._slots: dict[Slot, int] = {}
        self._rules: Mapping[str, Sequence[Rule]] = {}
        self._layout = ""
        self._values: Any = array("Q")
        self._latest: Any = memoryview(bytearray())
        self._known: dict[int, tuple[tuple[Any, ...], int]] = {}
        self._folder = folder
        if folder is not None:
            make_private_folder(folder)

    def adopt(self, rules: Mapping[str, Sequence[Rule]]) -> None:
        """From now on, count for these *rules* by site. An unchanged rule keeps its numbers."""
        listed = list(_slots_of(rules))
        slots = {slot: position for position, slot in enumerate(listed)}
        layout = sha256(json.dumps(list(slots)).encode()).hexdigest()[:16]
        with self._lock:
            self._rules = rules
            if layout == self._layout:
                return
            before = {slot: self._values[position] for slot, position in self._slots.items()}
            values = self._memory(f"{layout}-{os.getpid()}{COUNTS}", 8 * len(listed)).cast("Q")
            for slot, position in slots.items():
                values[position] = before.get(slot, 0)
            old, self._layout = self._layout, layout
            self._slots, self._values = slots, values
            self._latest, self._known = self._memory(f"{layout}-{os.getpid()}{LATEST}", RECORD * _RECORDS), {}
            if self._folder is not None and old:
                for suffix in (COUNTS, LATEST):
                    (self._folder / f"{old}-{os.getpid()}{suffix}").unlink(missing_ok=True)

    def of_site(self, site: str) -> Callable[[int], None]:
        """Return the function that counts a decision at *site* by the number of its rule.

        The function is called for each request. It uses no lock, because a lock would take most of its time. It needs
        none, because CPython switches threads only at calls and jumps, and the function has no call or jump between
        reading and writing.
        """
        values, first = self._values, self._slots[site, "", DECIDED]

        def count(number: int) -> None:
            values[first + number] += 1

        return count

    def differs(self, rule: Rule, found: ShadowDifference) -> None:
        """Count the difference *found* that the shadow *rule* makes, and store it as the latest of its kind."""
        if found.account is None:
            found = replace(found, path=rule.path)
        position = self._slots.get((found.site, _name(rule), found.difference))
        key = (found.site, found.rule, found.difference, found.account)
        record = hash(key) % FOR_ACCOUNTS if found.account is not None else FOR_ACCOUNTS + hash(key) % FOR_VISITORS
        with self._lock:
            if position is not None:
                self._values[position] += 1
            known, times = self._known.get(record, (key, 0))
            times = times + 1 if known == key else 1
            self._known[record] = key, times
            text = json.dumps([*asdict(replace(found, times=times)).values()], ensure_ascii=False).encode()
            if len(text) <= RECORD:
                self._latest[RECORD * record : RECORD * (record + 1)] = text.ljust(RECORD)

    def totals(self) -> dict[tuple[str, int, str], int]:
        """Return how often each rule decided or differed, by site and rule number, as a sum over all workers.

        The rule number is 0 if no rule matched.
        """
        with self._lock:
            totals, rules = list(self._values), self._rules
        for others in self._others(COUNTS):
            theirs = array("Q", others[: 8 * len(totals)])
            totals = [mine + more for mine, more in zip(totals, theirs, strict=False)]
        found = dict(zip(self._slots, totals, strict=True))
        return {
            (site, number, what): found[site, name, what]
            for site, listed in rules.items()
            for number, name in enumerate(("", *map(_name, listed)))
            for what in (DECIDED, *DIFFERENCES.values())
            if (site, name, what) in found
        }

    def latest(self) -> list[ShadowDifference]:
        """Return the stored differences of all workers, the latest first, without duplicates."""
        times: Counter[tuple[Any, ...]] = Counter()
        newest: dict[tuple[Any, ...], ShadowDifference] = {}
        for memory in (bytes(self._latest), *self._others(LATEST)):
            for found in _records(memory):
                key = (found.site, found.rule, found.difference, found.account)
                times[key] += found.times
                newest[key] = max(newest.get(key, found), found, key=lambda each: each.at)
        merged = [replace(found, times=times[key]) for key, found in newest.items()]
        return sorted(merged, key=lambda found: -found.at)

    def _memory(self, name: str, size: int) -> Any:
        if self._folder is None:
            return memoryview(bytearray(size))
        with (self._folder / name).open("w+b") as file:
            file.truncate(size)
            return memoryview(mmap.mmap(file.fileno(), size))

    def _others(self, suffix: str) -> Iterator[bytes]:
        own = f"{self._layout}-{os.getpid()}{suffix}"
        for file in self._folder.glob(f"{self._layout}-*{suffix}") if self._folder else ():
            if file.name != own:
                yield file.read_bytes()


_RECORDS = FOR_ACCOUNTS + FOR_VISITORS


def _slots_of(rules: Mapping[str, Sequence[Rule]]) -> Iterator[Slot]:
    """Yield the slots in the order of their numbers in a file.

    For each site, decisions without a rule come first, then the decisions by each rule. After all sites, the
    differences follow.
    """
    for site, listed in rules.items():
        yield from ((site, name, DECIDED) for name in ("", *map(_name, listed)))
    for site, listed in rules.items():
        shadows = [rule for rule in listed if rule.shadow]
        yield from ((site, _name(rule), difference) for rule in shadows for difference in DIFFERENCES.values())


def _name(rule: Rule) -> str:
    return describe(rule)


def _records(memory: bytes) -> Iterator[ShadowDifference]:
    """Yield the differences in the records of a worker. If a record is just being written, it is left out."""
    for position in range(0, len(memory), RECORD):
        text = memory[position : position + RECORD].strip(b"\0 ")
        if text:
            try:
                yield ShadowDifference(*json.loads(text))
            except (ValueError, TypeError):
                continue


def difference(
    site: str, rule: int, verdicts: tuple[Verdict, Verdict], asked: tuple[str, str, int | None]
) -> ShadowDifference:
    """Return the difference between two *verdicts*: the actual one, and the one that the shadow *rule* would give.

    *asked* is the method, path and account of the request.
    """
    (now, trial), (method, path, account) = verdicts, asked
    return ShadowDifference(
        site, rule, DIFFERENCES[decided(trial)], decided(now), account, method[:20], path[:MAX_PATH], int(time_now())
    )
