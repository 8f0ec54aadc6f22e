"""Decide on the account for a token's claims, with field matching, linking, just-in-time creation and seats.

The caller looks accounts up, this module decides, and the caller writes. A person is identified by the provider and the
mapped ID; the e-mail address is only an attribute. Linking by e-mail is allowed only if an attacker cannot use it to
get another person's account.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.claims import Claims, find_claim
from shared.errors import (
    ClaimInvalid,
    ClaimMissing,
    EmailConflict,
    EmailNotAllowed,
    SeatLimitReached,
    UserDisabled,
    UserUnknown,
)
from sp.emails import email_as_id, email_key
from sp.providers.provider import Provider

COLUMNS = ("name", "given_name", "family_name", "login")  # fields with a column; any other field is an attribute
MAX_SUBJECT = 512  # characters of an id, and of a normalised e-mail: the width of the column for an id
MAX_EMAIL = 254  # characters; RFC 5321, section 4.5.3.1.3, less the angle brackets
MAX_TEXT = 1000
EMAIL_CLAIM = "email"  # `subject_claim` of an id that is an e-mail address
MAX_GROUPS = 500


@dataclass(frozen=True)
class Profile:
    """What a token says about a person, in our fields. A missing claim sets no field.

    `subject_claim` is the claim that the id came from, or EMAIL_CLAIM for an e-mail. Equal ids from different claims
    are different ids. `email_verified` is False only if the token says that the provider has not verified the e-mail.
    """

    subject: str
    subject_claim: str
    email: str
    fields: Mapping[str, str]
    groups: tuple[str, ...] | None
    attributes: Mapping[str, Any]
    issued_at: float
    email_verified: bool = True

    def is_older_than(self, account: AccountState) -> bool:
        """Tell whether the account was already synchronised with a newer token."""
        return self.issued_at < account.synchronised_at


@dataclass(frozen=True)
class AccountState:
    """What is known about an account before the sign-in.

    `synchronised_at` is the iat of the newest token, of any provider, with which the account was synchronised.
    `identity_claim` is the claim of the id by which the account was found. It is "" if this claim is not known yet, and
    None if the account was found by its e-mail.
    """

    id: int
    email: str
    is_active: bool
    is_admin: bool
    fields: Mapping[str, str | None]
    groups: tuple[str, ...]
    attributes: Mapping[str, Any]
    has_identity_here: bool = False
    identity_claim: str | None = None
    synchronised_at: float = 0.0
    admin_through: str | None = None


@dataclass(frozen=True)
class Create:
    """Create an account with this profile. `administers` is True if a group makes it an administrator."""

    profile: Profile
    administers: bool = False


@dataclass(frozen=True)
class Admit:
    """Sign in to an existing account.

    If `join` is True, the unknown id must first be linked to the account. `changes` has the columns to set.
    """

    account: AccountState
    join: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)


def read_profile(claims: Claims, provider: Provider) -> Profile:
    """Return the profile that *claims* give under the provider's field matching.

    Raises ClaimMissing or ClaimInvalid for a missing or invalid id or e-mail address, and EmailNotAllowed for a domain
    that is not allowed. If several claims may contain the id, the first of them that the token has is used, and must
    not be blank.
    """
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    for name, claim_names in provider.mapping:
        for claim in claim_names:
            value = find_claim(claims.raw, claim)
            if value is not None and (value != "" or name == "id"):
                values[name], source[name] = value, claim
                break
    mapping = dict(provider.mapping)
    email = _email(_required(values, "email", mapping), source["email"])
    _check_domain(email, provider)
    if source.get("id") == source["email"]:
        subject = email_as_id(email)
    else:
        subject = _subject(_required(values, "id", mapping), source["id"])
    return Profile(
        subject=subject,
        subject_claim=EMAIL_CLAIM if source["id"] in mapping["email"] else source["id"],
        email=email,
        fields={name: _text(values[name], source[name]) for name in COLUMNS if name in values},
        groups=_groups(values["groups"], source["groups"]) if "groups" in values else None,
        attributes={n: v for n, v in values.items() if n not in ("id", "email", "groups", *COLUMNS)},
        issued_at=claims.issued_at or 0.0,
        email_verified=claims.raw.get("email_verified", True) is True,
    )


def decide(
    profile: Profile,
    provider: Provider,
    *,
    known: AccountState | None,
    same_email: AccountState | None,
    free_seat: bool,
) -> Create | Admit:
    """Return what to do with the person, or raise the rejection.

    *known* is the account with this id at this provider, *same_email* the account with the profile's e-mail address.
    Raises UserDisabled, UserUnknown, EmailConflict or SeatLimitReached.
    """
    if known is not None:
        if not known.is_active:
            raise UserDisabled(f"the account {known.id} is disabled")
        return Admit(known, changes=_changes(profile, provider, known, same_email))
    if same_email is not None:
        _check_join(profile, provider, same_email)
        return Admit(same_email, join=True, changes=_changes(profile, provider, same_email, same_email))
    if not provider.auto_create:
        raise UserUnknown("no account has this ID, and auto_create is off")
    if not free_seat:
        raise SeatLimitReached("every seat is taken by an active account")
    return Create(profile, _is_in_admin_group(profile, provider))


def _check_join(profile: Profile, provider: Provider, account: AccountState) -> None:
    if not provider.auto_lookup:
        raise EmailConflict("an account has this e-mail address, and auto_lookup is off")
    if account.is_admin or account.admin_through:
        raise EmailConflict("it is the e-mail address of an administrator, whose account is never linked")
    if account.has_identity_here:
        raise EmailConflict("the account with this e-mail address has another ID at this provider")
    if email_as_id(profile.email) != email_as_id(account.email):
        raise EmailConflict("the e-mail address only looks like that of an account")
    if not profile.email_verified:
        raise EmailConflict("the provider says that the e-mail address is not verified, and an account has it")
    if not account.is_active:
        raise UserDisabled(f"the account {account.id} is disabled")


def _changes(
    profile: Profile, provider: Provider, account: AccountState, same_email: AccountState | None
) -> dict[str, Any]:
    """Return the columns to change. A missing claim leaves its column unchanged.

    An older token changes no column of the profile. It can only end the right of an administrator by a group.

    "Older" means older than the newest token of any provider, because another provider may have sent a newer name. A
    token without iat counts as older than every token with an iat.
    """
    changes = _change_of_right(profile, provider, account)
    if profile.is_older_than(account):
        return changes
    if provider.update_profile:
        changes |= {name: value for name, value in profile.fields.items() if account.fields.get(name) != value}
        if profile.groups is not None and profile.groups != account.groups:
            changes["groups"] = list(profile.groups)
        merged = {**account.attributes, **profile.attributes}
        if merged != account.attributes:
            changes["attributes"] = merged
    if provider.update_email and profile.email != account.email and _may_rename(provider, account):
        if same_email is not None and same_email.id != account.id:
            raise EmailConflict("the new e-mail address belongs to another account")
        changes |= {"email": profile.email, "email_key": email_key(profile.email)}
    return changes


def _may_rename(provider: Provider, account: AccountState) -> bool:
    """Tell whether *provider* may change the e-mail address.

    It may not if the group of another provider makes the account an administrator.

    Settings, the audit trail and other administrators identify an administrator by the e-mail address.
    """
    return account.admin_through in (None, provider.name)


def _change_of_right(profile: Profile, provider: Provider, account: AccountState) -> dict[str, Any]:
    """Return the change of `admin_through`, if the token grants or removes the right to administer.

    A token grants it only if the provider's own setting names a group, this token contains the group, and no newer
    token was used. Every token without the group removes it, even an older one, so that a missing claim, or another
    provider with a fast clock, cannot preserve the right. A right that was granted by hand or by another provider
    stays.
    """
    if _is_in_admin_group(profile, provider):
        if profile.is_older_than(account) or account.admin_through == provider.name:
            return {}
        return {"admin_through": provider.name}
    return {"admin_through": None} if account.admin_through == provider.name else {}


def _is_in_admin_group(profile: Profile, provider: Provider) -> bool:
    return bool(provider.admin_group) and provider.admin_group in (profile.groups or ())


def _required(values: Mapping[str, Any], name: str, mapping: Mapping[str, tuple[str, ...]]) -> Any:
    if name not in values:
        claims = mapping[name]
        raise ClaimMissing(f"no claim fills the field {name}; looked for {', '.join(claims)}", claim=claims[0])
    return values[name]


def _email(value: Any, claim: str) -> str:
    """Return *value* as an e-mail: one @, no spaces or control characters, even after normalisation."""
    if not isinstance(value, str):
        raise ClaimInvalid(f"{claim} must be text", claim=claim)
    compared = email_key(value)
    local, _at, domain = value.partition("@")
    if not (local and domain) or compared.count("@") != 1 or " " in compared or not _is_plain(value):
        raise ClaimInvalid(f"{claim} is not an e-mail address", claim=claim)
    if len(value) > MAX_EMAIL or len(compared) > MAX_SUBJECT:
        raise ClaimInvalid(f"{claim} is longer than {MAX_EMAIL} characters", claim=claim)
    return value


def _check_domain(email: str, provider: Provider) -> None:
    """Raise EmailNotAllowed if the provider does not allow the domain.

    Only the case of ASCII letters is ignored, so a Kelvin sign is not a k.
    """
    domain = email_as_id(email).rpartition("@")[2]
    if provider.email_domains and domain not in provider.email_domains:
        raise EmailNotAllowed("the domain of the e-mail address is not in email_domains")


def _subject(value: Any, claim: str) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or len(text) > MAX_SUBJECT or not _is_plain(text):
        raise ClaimInvalid(f"{claim} must be a text or whole number of at most {MAX_SUBJECT} characters", claim=claim)
    if not text.strip():
        raise ClaimInvalid(f"{claim} must not be blank", claim=claim)
    return text


def _text(value: Any, claim: str) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or len(text) > MAX_TEXT or "\0" in text:
        raise ClaimInvalid(f"{claim} must be text of at most {MAX_TEXT} characters", claim=claim)
    return text


def _groups(value: Any, claim: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > MAX_GROUPS or not all(isinstance(i, str) for i in items):
        raise ClaimInvalid(f"{claim} must be a list of at most {MAX_GROUPS} strings", claim=claim)
    return tuple(dict.fromkeys(_text(item, claim) for item in items if item))


def _is_plain(text: str) -> bool:
    return not any(unicodedata.category(character)[0] in "CZ" for character in text if character != " ")
