"""Limit password attempts, without allowing a stranger to lock anyone out.

All workers share the counts. There is one count for each IP network, and one for each account. If a person has signed
in before in a browser, attempts from this browser for this account have a separate count. They do not use the counts of
the network and the account ("device cookies" in OWASP's authentication advice). So if an attacker uses up the counts of
the network and the account, the real person can still sign in with their usual browser.

An attempt is counted before the password is verified, so that attempts at the same time are all counted. If the
password is correct, the attempt is subtracted again. An attempt beyond the limit is rejected without a write, so that a
large number of attempts does not block the database.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from shared.errors import RateLimited
from shared.rate_limit_storage import SqlStorage

# ASVS 5.0, 6.3.1 leaves the numbers to us. A person mistypes a few times; an attacker with these limits tries fewer
# than 1,000 passwords of one account in a day, and cannot guess one of 8 characters unless it is on the common lists.
PER_IP = RateLimitItemPerMinute(30, 5)
PER_ACCOUNT = RateLimitItemPerMinute(10, 15)
PER_DEVICE = RateLimitItemPerMinute(10, 15)


@dataclass(frozen=True)
class PasswordAttempt:
    """A password attempt, counted before the password is verified."""

    storage: SqlStorage
    keys: tuple[str, ...]

    def succeeded(self) -> None:
        """Subtract the attempt from the counts."""
        for key in self.keys:
            self.storage.give_back(key)


class TooManyAttempts(RateLimited):
    """There were too many attempts, so the password was not verified.

    `retry_after` is in seconds. `reference` names the log line about this rejection.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after, self.reference = retry_after, ""
        super().__init__()


class Throttle:
    """Allows attempts to sign in, or raises TooManyAttempts."""

    def __init__(self, storage: SqlStorage, now: Callable[[], datetime]) -> None:
        self.storage, self._now = storage, now
        self._limiter = FixedWindowRateLimiter(storage)

    def admit(self, email: str, ip: str, device: str | None) -> PasswordAttempt:
        """Count a password attempt for *email* from *ip*, or raise TooManyAttempts.

        *device* is the name of the browser if this person has signed in with it before, else None.
        """
        account = account_key(email)
        if device is not None:
            return self._count((PER_DEVICE, (device, account)))
        return self._count((PER_IP, (network_of(ip),)), (PER_ACCOUNT, (account,)))

    def admit_found(self, attempt: PasswordAttempt, typed: str, found: str) -> PasswordAttempt:
        """Count *attempt* also for the e-mail *found*, if its account key differs from that of *typed*.

        A directory found the account *found* for the e-mail *typed*. The keys of the two e-mails differ only if the
        directory ignores more differences between e-mails than `account_key` does.
        """
        if account_key(found) == account_key(typed):
            return attempt
        also = self._count((PER_ACCOUNT, (account_key(found),)))
        return PasswordAttempt(self.storage, attempt.keys + also.keys)

    def _count(self, *counts: tuple[RateLimitItem, tuple[str, ...]]) -> PasswordAttempt:
        for counting in (self._limiter.test, self._limiter.hit):
            for item, names in counts:
                if not counting(item, *names):
                    ends_at = self.storage.get_expiry(item.key_for(*names))
                    raise TooManyAttempts(max(1, int(ends_at - self._now().timestamp()) + 1))
        return PasswordAttempt(self.storage, tuple(item.key_for(*names) for item, names in counts))


def account_key(email: str) -> str:
    """Return a short name for the typed e-mail that does not reveal it. The account may exist or not.

    The gateway's lookup, or a directory, may treat several spellings as the same e-mail. They get the same key: this
    function ignores case (ß is ss), accents, spaces, invisible characters and dots at the end. No lookup should ignore
    more differences than these. So attempts are counted in the same way, whether or not an account exists. Two people
    may share a count, so the key does not identify a person; `known_browsers` uses a stricter name.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", email).casefold())
    spelling = "".join(c for c in folded if unicodedata.category(c)[0] not in "CMZ").rstrip(".")
    return hashlib.sha256(spelling.encode("utf-8", "replace")).hexdigest()[:32]


def network_of(ip: str) -> str:
    """Return the IP network of one subscriber: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(ip)
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or (parsed if parsed.version == 4 else ip_network(f"{parsed}/64", strict=False)))
