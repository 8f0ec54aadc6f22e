"""Build the tokens of the identity provider for tests, by the decisions of a test. It does not depend on HTTP."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.drafts import PERSON, Draft, draft
from lab.faults import FAULTS, Fault, fault_named
from lab.forging import ForgingKey

MOST_REMEMBERED = 1000  # sign-ins, and tokens for a second use


@dataclass(frozen=True)
class SignIn:
    """The decision about a sign-in: the person, added claims, removed claims, and the fault."""

    user: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()
    fault: str = ""


@dataclass(frozen=True)
class Sent:
    """A sent token. `claims` are the claims of the valid token; `fault` names the fault of the sent token."""

    user: str
    fault: str
    claims: Mapping[str, Any]
    token: str = field(repr=False)
    return_to: str = ""
    nonce: str = ""


class Issuer:
    """Stores the decision about the next sign-in, and makes its token. Several threads may use it."""

    def __init__(self, key: ForgingKey, claims: Mapping[str, Any], without: Sequence[str]) -> None:
        self.key = key
        self._claims, self._without = dict(claims), tuple(without)
        self._people: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._next: SignIn | None = None
        self._second: dict[tuple[str, str], str] = {}
        self.sent: deque[Sent] = deque(maxlen=MOST_REMEMBERED)
        self.generation = secrets.token_hex(4)

    def add_person(self, email: str, claims: Mapping[str, Any]) -> None:
        """Remember further claims about a person."""
        self._people[email] = dict(claims)

    def decide(self, sign_in: SignIn) -> None:
        """Use *sign_in* for the next sign-in. Raises UnknownFault, NotApplicable."""
        if sign_in.fault:
            fault_named(sign_in.fault).tokens(self._draft(sign_in, ""))
        with self._lock:
            self._next = sign_in

    def decided(self) -> SignIn | None:
        """Return the decision, and forget it."""
        with self._lock:
            found, self._next = self._next, None
        return found

    def issue(self, sign_in: SignIn, *, return_to: str = "", nonce: str = "") -> Sent:
        """Return the token for a sign-in. Raises UnknownFault, NotApplicable.

        For a fault of a second use, the first call returns the valid token, and the next call the faulty one.
        """
        good = self._draft(sign_in, nonce)
        user, fault = sign_in.user or PERSON, sign_in.fault
        token = self._faulty(fault_named(fault), user, good) if fault else good.token()
        sent = Sent(user, fault, good.claims, token, return_to, nonce)
        self.sent.append(sent)
        return sent

    def reset(self) -> None:
        """Forget decisions, sent tokens and sign-ins; keep the people."""
        with self._lock:
            self._next = None
            self._second.clear()
        self.sent.clear()
        self.generation = secrets.token_hex(4)

    def _draft(self, sign_in: SignIn, nonce: str) -> Draft:
        user = sign_in.user or PERSON
        echoed = {"nonce": nonce} if nonce else {}
        claims = {**self._claims, **self._people.get(user, {}), **echoed, **sign_in.claims}
        return draft(self.key, claims, without=(*self._without, *sign_in.without), email=user)

    def _faulty(self, fault: Fault, user: str, good: Draft) -> str:
        with self._lock:
            if (waiting := self._second.pop((fault.name, user), "")) != "":
                return waiting
            first, *second = fault.tokens(good)
            if second:
                if len(self._second) >= MOST_REMEMBERED:
                    self._second.clear()
                self._second[fault.name, user] = second[0]
            return first


def possible_faults(key: ForgingKey) -> list[Fault]:
    """Return the faults that are possible with *key*."""
    good = draft(key)
    return [fault for fault in FAULTS.values() if not fault.obstacle(good)]
