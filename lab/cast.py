"""The people of every test, always in the same roles."""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Someone who may type a password, at the identity provider or at the gateway's local form."""

    email: str
    password: str
    given_name: str
    family_name: str
    groups: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"


ALICE = Person("alice@example.com", "looking-glass-1865", "Alice", "Liddell", ("staff",))
"""An ordinary person."""

BOB = Person("bob@example.com", "barred-gate-2210", "Bob", "Sparrow", ("staff",))
"""Someone whose account was disabled."""

CAROL = Person("carol@example.com", "keeper-of-keys-7741", "Carol", "Warden", ("staff", "admins"))
"""The gateway's administrator, with a local password there."""

MALLORY = Person("mallory@example.com", "wolf-at-the-gate-666", "Mallory", "Malloch")
"""The attacker. She has an ordinary account, and wants to do more than it allows."""


def stranger() -> Person:
    """Return a person with a new e-mail address, who has no password."""
    return Person(f"stranger-{secrets.token_hex(4)}@example.com", "no-password-anywhere", "Sam", "Stranger")
