"""Decide which keys a provider has after a change, and find errors in the stored keys.

`sp.providers.edit` writes the keys to the database. `shared.keys` checks a single key.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.keys import SYMMETRIC, KeyRefused, KeySet, TokenKey, generate_key, key_set, load_key, public_pem
from shared.vault import Vault, VaultLocked
from sp.providers.provider import Provider
from sp.providers.rows import StoredKey, StoredProvider

PRIVATE_KEY = (
    "this is a private key: it belongs at the identity provider alone. Paste its public half, and if the private one "
    "has been sent around, make a new pair"
)


@dataclass(frozen=True)
class NewKey:
    """A key to store.

    If it was generated, `shown_once` is the part of it that the identity provider needs. Otherwise `shown_once` is
    empty.
    """

    material: str
    key: TokenKey
    shown_once: str = ""


@dataclass(frozen=True)
class JudgedKey:
    """A stored key, whether it can verify tokens, and its error, if it has one."""

    stored: StoredKey
    usable: bool
    problem: str


def new_key(provider: Provider, material: str, mistakes: dict[str, str]) -> NewKey | None:
    """Return the key in *material*. If *material* is empty, generate a key.

    If the key is rejected, add an error to *mistakes* and return None. Also return None if *mistakes* has an error of
    the algorithm.
    """
    if "algorithm" in mistakes:
        return None
    shown_once = ""
    if not material:
        shown_once = material = generate_key(provider.algorithm)
        if provider.algorithm not in SYMMETRIC:
            material = public_pem(shown_once)  # the private half belongs to the identity provider
    try:
        key = load_key(material, provider.algorithm, allow_short_secret=provider.allow_short_secret)
        if key.private and provider.algorithm not in SYMMETRIC:
            raise KeyRefused(PRIVATE_KEY)
    except KeyRefused as error:
        mistakes["keys"] = str(error)
        return None
    return NewKey(material, key, shown_once)


def keys_after(
    vault: Vault, provider: Provider, stored: StoredProvider, new: NewKey | None, mistakes: dict[str, str]
) -> dict[str, str | None]:
    """Return the provider's keys after the change: the key material by fingerprint.

    If a key is already stored, its material is None. A new key is added at the end. It verifies at once if the provider
    has no JWKS endpoint. If the stored keys stay, they come before the new key, so the new key does not sign until an
    administrator puts it first, unless no stored key can sign.

    If the algorithm changes, the stored keys stay only if all of them fit the new algorithm. Otherwise the new key or
    the JWKS endpoint replaces them. If the keys cannot be used together, or if there is none, an error is added to
    *mistakes*.
    """
    added: dict[str, str | None] = {new.key.fingerprint: new.material} if new else {}
    before = stored.provider
    policy_stays = (provider.algorithm, provider.allow_short_secret) == (before.algorithm, before.allow_short_secret)
    if new is None and policy_stays and stored.keys:
        return {key.fingerprint: None for key in stored.keys}  # even keys that cannot be decrypted
    try:
        present = _load(vault, provider, stored)
    except (KeyRefused, VaultLocked) as error:
        if provider.algorithm != before.algorithm and (new or provider.jwks_url):
            return added
        if new is None:
            mistakes["keys"] = f"the stored keys do not fit: {error}. Enter one that does"
            return added
        present = KeySet(())  # an unreadable key must not prevent adding a good one
    try:
        key_set([*present.keys, *([new.key] if new else [])])
    except KeyRefused as error:
        mistakes["keys"] = str(error)
    if not stored.keys and not added and not provider.jwks_url:
        mistakes["keys"] = "enter a key" + ("" if provider.algorithm in SYMMETRIC else ", or a JWKS endpoint")
    return {key.fingerprint: None for key in stored.keys} | added


def judge(vault: Vault, key: StoredKey, provider: Provider) -> JudgedKey:
    """Return a stored *key*, whether it can verify tokens, and its error, if it has one."""
    try:
        material = vault.decrypt(key.sealed)
        load_key(material, provider.algorithm, allow_short_secret=provider.allow_short_secret)
    except (VaultLocked, KeyRefused) as error:
        return JudgedKey(key, False, f"It cannot be used: {error}.")
    if provider.allow_short_secret:
        try:
            load_key(material, provider.algorithm)
        except KeyRefused as error:
            return JudgedKey(key, True, f"It is weak: {error}.")
    return JudgedKey(key, True, "")


def _load(vault: Vault, provider: Provider, stored: StoredProvider) -> KeySet:
    keys = []
    for key in stored.keys:
        material = vault.decrypt(key.sealed)
        keys.append(load_key(material, provider.algorithm, allow_short_secret=provider.allow_short_secret))
    return key_set(keys)
