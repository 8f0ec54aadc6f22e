"""Who a token is about, and what becomes of the account: decided without a database."""

from dataclasses import replace
from typing import Any

import pytest

from lab.cast import ALICE, MALLORY
from shared.claims import Claims
from shared.errors import (
    ClaimInvalid,
    ClaimMissing,
    EmailConflict,
    EmailNotAllowed,
    Rejection,
    SeatLimitReached,
    UserDisabled,
    UserUnknown,
)
from sp.accounts.provisioning import AccountState, Admit, Create, Profile, decide, read_profile
from sp.emails import email_key
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider

CLAIMS: dict[str, Any] = {
    "sub": "a-1",
    "iat": 1000,
    "email": ALICE.email,
    "given_name": "Alice",
    "family_name": "Liddell",
    "groups": ["staff"],
}
BY_ID = {"mapping": {"id": "sub"}}


def provider(**settings: Any) -> Provider:
    return parse_provider("corporate", {**BY_ID, **settings})


def profile(trusted: Provider | None = None, /, **claims: Any) -> Profile:
    """Return what a good token says, with *claims* set; None leaves one out."""
    payload = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return read_profile(Claims.parse(payload), trusted or provider())


def account(**state: Any) -> AccountState:
    """Return Alice's account, as an administrator made it, with *state*."""
    known: dict[str, Any] = {
        "id": 1,
        "email": ALICE.email,
        "is_active": True,
        "is_admin": False,
        "fields": {"name": None, "given_name": "Alice", "family_name": "Liddell", "login": None},
        "groups": ("staff",),
        "attributes": {},
    }
    return AccountState(**{**known, **state})


def outcome(
    trusted: Provider,
    said: Profile,
    *,
    known: AccountState | None = None,
    same_email: AccountState | None = None,
    free_seat: bool = True,
) -> Create | Admit | type[Rejection]:
    """Return what is decided, or the class of the refusal."""
    try:
        return decide(said, trusted, known=known, same_email=same_email, free_seat=free_seat)
    except Rejection as rejection:
        return type(rejection)


# --- Reading claims ---


def test_mapped_claims_become_fields() -> None:
    assert profile() == Profile(
        subject="a-1",
        subject_claim="sub",
        email=ALICE.email,
        fields={"given_name": "Alice", "family_name": "Liddell", "login": "a-1"},
        groups=("staff",),
        attributes={},
        issued_at=1000,
        email_verified=True,
    )


def test_the_first_claim_that_is_there_and_not_empty_counts() -> None:
    mapping = {
        "id": ["employee.number", "uid", "sub"],
        "login": ["preferred_username", "sub"],
        "given_name": ["first", "given_name"],
    }
    trusted = provider(mapping=mapping)
    assert profile(trusted).subject == "a-1"
    assert profile(trusted, uid="u", employee="none").subject == "u"
    assert profile(trusted, uid="u", employee={"number": 7}).subject == "7"
    assert profile(trusted, first="", preferred_username="ali").fields == {
        "given_name": "Alice",
        "family_name": "Liddell",
        "login": "ali",
    }


def test_any_further_field_is_an_attribute_of_any_type() -> None:
    trusted = provider(mapping={**BY_ID["mapping"], "department": "department", "badge": "ids.badge", "shift": "shift"})
    said = profile(trusted, department="it", ids={"badge": {"no": [1, True]}})
    assert said.attributes == {"department": "it", "badge": {"no": [1, True]}}


def test_an_absent_claim_leaves_no_trace() -> None:
    said = profile(given_name=None, family_name=None, groups=None)
    assert said.fields == {"login": "a-1"}
    assert said.groups is None
    assert profile(groups="").groups is None
    assert profile(groups=[]).groups == ()


def test_groups_are_each_named_once_in_their_order() -> None:
    assert profile(groups=["b", "a", "b", ""]).groups == ("b", "a")
    assert profile(groups="one").groups == ("one",)
    assert len(profile(groups=[f"g{n}" for n in range(500)]).groups or ()) == 500


def test_an_id_that_is_the_address_is_compared_without_case_and_any_other_exactly() -> None:
    by_email = provider(mapping={"id": "email"})
    assert profile(by_email, email="ALICE@Example.com").subject == "alice@example.com"
    assert profile(by_email, email="ALICE@Example.com").email == "ALICE@Example.com"
    assert profile(sub="A-1").subject == "A-1"


@pytest.mark.parametrize(
    "look_alike", ["alice@e\u212aample.com", "ａlice@example.com", "alıce@example.com", "ﬃ@example.com", "\u017f@x.y"]
)
def test_an_address_that_only_looks_like_another_is_another_person(look_alike: str) -> None:
    """If the e-mail is the id, the Kelvin sign must not become a k, nor a long s an s."""
    by_email = provider(mapping={"id": "email"})
    assert profile(by_email, email=look_alike).subject == look_alike


def test_the_time_of_a_token_without_iat_is_zero() -> None:
    assert profile(iat=None).issued_at == 0.0
    assert profile(iat=1.5).issued_at == 1.5


@pytest.mark.parametrize(
    ("said", "verified"), [(None, True), (True, True), (False, False), ("true", False), ("false", False), (1, False)]
)
def test_an_address_is_verified_unless_the_token_says_otherwise(said: Any, verified: bool) -> None:
    assert profile(email_verified=said).email_verified is verified


@pytest.mark.parametrize(
    ("claims", "claim", "detail"),
    [
        ({"email": None}, "email", "no claim fills the field email; looked for email"),
        ({"sub": None}, "uid", "no claim fills the field id; looked for uid, sub"),
        ({"sub": ""}, "sub", "sub must not be empty"),
    ],
)
def test_an_id_and_an_address_are_needed(claims: dict[str, Any], claim: str, detail: str) -> None:
    with pytest.raises((ClaimMissing, ClaimInvalid)) as refused:
        profile(provider(mapping={"id": ["uid", "sub"]}), **claims)
    assert (refused.value.claim, refused.value.detail) == (claim, detail)


NO_EMAIL = "email is not an e-mail address"
TOO_LONG = "email is longer than 254 characters"
NO_ID = "sub must be a text or whole number of at most 512 characters"
NO_NAME = "given_name must be text of at most 1000 characters"
NO_GROUPS = "groups must be a list of at most 500 strings"


@pytest.mark.parametrize(
    ("claim", "value", "detail"),
    [
        ("email", 7, "email must be text"),
        ("email", "alice", NO_EMAIL),
        ("email", "@example.com", NO_EMAIL),
        ("email", "alice@", NO_EMAIL),
        ("email", "a@b@c", NO_EMAIL),
        ("email", "a＠b@c", NO_EMAIL),
        ("email", "a b@c", NO_EMAIL),
        ("email", "a\u3000b@c", NO_EMAIL),
        ("email", "a\u200bb@c", NO_EMAIL),
        ("email", "a@b\n", NO_EMAIL),
        ("email", "a" * 249 + "@b.cd", None),
        ("email", "a" * 250 + "@b.cd", TOO_LONG),
        ("email", "㌖" * 84 + "@b.cd", None),
        ("email", "㌖" * 85 + "@b.cd", TOO_LONG),
        ("sub", "x" * 512, None),
        ("sub", "x" * 513, NO_ID),
        ("sub", "a\0", NO_ID),
        ("sub", "a\u2028b", NO_ID),
        ("sub", "a b", None),
        ("given_name", 7, None),
        ("given_name", "x" * 1000, None),
        ("given_name", "x" * 1001, NO_NAME),
        ("given_name", True, NO_NAME),
        ("given_name", ["a"], NO_NAME),
        ("given_name", "a\0b", NO_NAME),
        ("groups", 7, NO_GROUPS),
        ("groups", {"a": 1}, NO_GROUPS),
        ("groups", ["a", 1], NO_GROUPS),
        ("groups", ["a"] * 501, NO_GROUPS),
        ("groups", ["x" * 1001], "groups must be text of at most 1000 characters"),
    ],
)
def test_impossible_values_are_refused_with_the_reason(claim: str, value: Any, detail: str | None) -> None:
    if detail is None:
        profile(**{claim: value})
        return
    with pytest.raises(ClaimInvalid) as refused:
        profile(**{claim: value})
    assert (refused.value.claim, refused.value.detail) == (claim, detail)


@pytest.mark.parametrize("blank", ["", " ", "    "])
def test_attack_a_blank_id_names_nobody_and_no_other_claim_takes_its_place(blank: str) -> None:
    with pytest.raises(ClaimInvalid) as refused:
        profile(provider(mapping={"id": ["uid", "sub"]}), uid=blank)
    assert (refused.value.claim, refused.value.detail) == ("uid", "uid must not be blank")


def test_the_claim_that_gave_the_id_is_kept_with_it() -> None:
    trusted = provider(mapping={"id": ["uid", "sub", "mail"], "email": ["mail", "email"]})
    assert profile(trusted, uid=7).subject_claim == "uid"
    assert profile(trusted).subject_claim == "sub"
    assert profile(trusted, sub=None, mail="a@example.com").subject_claim == "email"


def test_a_mapped_id_may_be_a_number_and_nothing_else_than_a_number_or_text() -> None:
    trusted = provider(mapping={"id": "uid"})
    assert profile(trusted, uid=7).subject == "7"
    for impossible in (True, 1.5, ["u"], {"id": "u"}):
        with pytest.raises(ClaimInvalid):
            profile(trusted, uid=impossible)


# --- Domains ---


@pytest.mark.parametrize(
    ("email", "admitted"),
    [
        ("alice@example.com", True),
        ("alice@EXAMPLE.com", True),
        ("alice@kelvin.example", True),
        ("alice@пример.рф", True),
        ("alice@sub.example.com", False),
        ("alice@example.com.evil.example", False),
        ("alice@notexample.com", False),
        ("alice@example.com.", False),
        ("alice@\u212aelvin.example", False),
        ("alice@ｅxample.com", False),
        ("example.com@evil.example", False),
    ],
)
def test_only_listed_domains_are_admitted_and_none_by_a_trick_of_letters(email: str, admitted: bool) -> None:
    trusted = provider(email_domains=["@Example.com", "kelvin.example", "пример.рф"])
    if admitted:
        assert profile(trusted, email=email).email == email
        return
    with pytest.raises(EmailNotAllowed, match="the domain of the e-mail address is not in email_domains"):
        profile(trusted, email=email)


def test_without_a_list_every_domain_is_admitted() -> None:
    assert profile(email="alice@anywhere.example").email == "alice@anywhere.example"


# --- Comparing e-mails ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        ("STRASSE@example.com", "straße@example.com"),
        ("ＡLICE@example.com", "alice@example.com"),
        ("ali\u212ae@x.y", "alike@x.y"),
        ("e\u0301@x.y", "É@x.y"),
        ("ﬁ@x.y", "FI@x.y"),
        ("\u1e9e@x.y", "ss@x.y"),
    ],
)
def test_addresses_that_can_be_taken_for_one_another_compare_as_one(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)
    assert email_key(email_key(one)) == email_key(one)


def test_different_addresses_stay_different() -> None:
    assert len({email_key(f"{name}@x.y") for name in ("alice", "аlice", "alıce", "al.ice", "alice+1")}) == 5


# --- The decision ---


def test_an_unknown_person_gets_an_account() -> None:
    assert outcome(provider(), profile()) == Create(profile())


def test_an_unknown_person_gets_none_where_none_are_created() -> None:
    assert outcome(provider(auto_create=False), profile()) is UserUnknown


def test_an_unknown_person_needs_a_free_seat_and_a_known_one_does_not() -> None:
    assert outcome(provider(), profile(), free_seat=False) is SeatLimitReached
    assert isinstance(outcome(provider(), profile(), known=account(), free_seat=False), Admit)
    assert isinstance(outcome(provider(), profile(), same_email=account(), free_seat=False), Admit)


def test_a_known_person_is_admitted_whatever_is_created_or_joined() -> None:
    closed = provider(auto_create=False, auto_lookup=False)
    assert outcome(closed, profile(), known=account(is_admin=True)) == Admit(
        account(is_admin=True), changes={"login": "a-1"}
    )


def test_a_disabled_person_stays_out() -> None:
    assert outcome(provider(), profile(), known=account(is_active=False)) is UserDisabled
    assert outcome(provider(), profile(), same_email=account(is_active=False)) is UserDisabled


def test_an_unknown_id_joins_the_account_with_the_same_address() -> None:
    assert outcome(provider(), profile(email="ALICE@example.com"), same_email=account()) == Admit(
        account(), join=True, changes={"login": "a-1"}
    )


@pytest.mark.parametrize(
    ("settings", "state", "claims"),
    [
        ({"auto_lookup": False}, {}, {}),
        ({}, {"is_admin": True}, {}),
        ({}, {"has_identity_here": True}, {}),
        ({}, {}, {"email": "ａlice@example.com"}),
        ({}, {"email": "ａlice@example.com"}, {}),
        ({}, {}, {"email_verified": False}),
        ({"auto_lookup": False}, {"is_active": False}, {}),
        ({}, {"is_active": False, "is_admin": True}, {}),
    ],
    ids=[
        "not allowed",
        "administrator",
        "another id",
        "look-alike token",
        "look-alike account",
        "unverified",
        "disabled",
        "disabled admin",
    ],
)
def test_an_account_is_not_joined_where_that_could_be_turned_against_somebody(
    settings: dict[str, Any], state: dict[str, Any], claims: dict[str, Any]
) -> None:
    assert outcome(provider(**settings), profile(**claims), same_email=account(**state)) is EmailConflict


@pytest.mark.parametrize(
    ("theirs", "ours", "joins"),
    [
        ("jürgen@example.com", "jürgen@example.com", True),
        ("JüRGEN@example.com", "jürgen@Example.com", True),
        ("alice@пример.рф", "alice@пример.рф", True),
        ("JÜRGEN@example.com", "jürgen@example.com", False),
        ("ju\u0308rgen@example.com", "jürgen@example.com", False),
        ("straße@example.com", "strasse@example.com", False),
        ("ali\u212ae@example.com", "alike@example.com", False),
        ("ａlice@example.com", "alice@example.com", False),
        ("alice@example.com", "ａlice@example.com", False),
    ],
)
def test_the_same_address_is_joined_in_any_alphabet_and_a_look_alike_in_none(
    theirs: str, ours: str, joins: bool
) -> None:
    decided = outcome(provider(), profile(email=theirs), same_email=account(email=ours))
    assert email_key(theirs) == email_key(ours)  # or the account would not even be found
    assert (isinstance(decided, Admit), decided is EmailConflict) == (joins, not joins)


@pytest.mark.parametrize(
    ("settings", "state", "claims", "detail"),
    [
        (
            {"auto_lookup": False},
            {},
            {},
            "an account has this e-mail address, and auto_lookup is off",
        ),
        (
            {},
            {"is_admin": True},
            {},
            "it is the e-mail address of an administrator, whose account is never linked",
        ),
        ({}, {"has_identity_here": True}, {}, "the account with this e-mail address has another ID at this provider"),
        (
            {},
            {"email": "ａlice@example.com"},
            {},
            "the e-mail address only looks like that of an account",
        ),
        (
            {},
            {},
            {"email_verified": False},
            "the provider says that the e-mail address is not verified, and an account has it",
        ),
        ({}, {"is_active": False}, {}, "the account 1 is disabled"),
    ],
)
def test_a_refusal_to_join_says_why(settings: Any, state: Any, claims: Any, detail: str) -> None:
    with pytest.raises(Rejection) as refused:
        decide(profile(**claims), provider(**settings), known=None, same_email=account(**state), free_seat=True)
    assert refused.value.detail == detail


# --- Synchronisation ---


def changes(trusted: Provider, said: Profile, **state: Any) -> dict[str, Any]:
    """Return what would be changed of a known account."""
    decision = decide(said, trusted, known=account(**state), same_email=None, free_seat=True)
    assert isinstance(decision, Admit)
    assert not decision.join
    return dict(decision.changes)


def test_only_what_differs_is_changed() -> None:
    fields = {"name": None, "given_name": "Alice", "family_name": "Liddell", "login": "a-1"}
    assert changes(provider(), profile(), fields=fields) == {}
    assert changes(provider(), profile(given_name="Alicia"), fields=fields) == {"given_name": "Alicia"}
    assert changes(provider(), profile(groups=["staff", "new"]), fields=fields) == {"groups": ["staff", "new"]}


def test_an_absent_claim_wipes_nothing_and_an_empty_list_empties_the_groups() -> None:
    known = {"fields": {"given_name": "Alice", "login": "a-1"}, "attributes": {"department": "it"}}
    trusted = provider(mapping={**BY_ID["mapping"], "department": "department"})
    assert changes(trusted, profile(trusted, given_name=None, family_name=None, groups=None), **known) == {}
    assert changes(trusted, profile(trusted, family_name=None, groups=[]), **known) == {"groups": []}


def test_attributes_that_nobody_maps_stay() -> None:
    trusted = provider(mapping={**BY_ID["mapping"], "department": "department"})
    manual = {"attributes": {"note": "by hand", "department": "old"}, "fields": {**account().fields, "login": "a-1"}}
    said = profile(trusted, department="new")
    assert changes(trusted, said, **manual) == {"attributes": {"note": "by hand", "department": "new"}}


def test_an_older_token_changes_nothing() -> None:
    said = profile(given_name="Old", email="old@example.com")
    assert changes(provider(update_email=True), said, synchronised_at=1000.5) == {}
    assert changes(provider(), said, synchronised_at=1000)["given_name"] == "Old"


def test_nothing_is_synchronised_where_the_provider_does_not_update_profiles() -> None:
    assert changes(provider(update_profile=False), profile(given_name="Alicia", groups=["x"])) == {}


def test_the_address_follows_the_provider_only_where_that_is_set() -> None:
    said = profile(email="New@example.com")
    unmapped = {"update_profile": False}
    assert changes(provider(**unmapped), said) == {}
    wanted = {"email": "New@example.com", "email_key": "new@example.com"}
    assert changes(provider(**unmapped, update_email=True), said) == wanted
    assert changes(provider(**unmapped, update_email=True), profile()) == {}


@pytest.mark.parametrize(
    ("administers_through", "renamed"),
    [(None, True), ("corporate", True), ("other", False)],
)
def test_attack_another_provider_renames_an_administrator_by_group(
    administers_through: str | None, renamed: bool
) -> None:
    said = profile(email="ceo@example.com")
    state: dict[str, Any] = {"admin_through": administers_through}
    assert ("email" in changes(provider(update_email=True), said, **state)) is renamed
    assert changes(provider(update_email=True), profile(given_name="Al"), **state)["given_name"] == "Al"


def test_a_new_address_that_is_another_accounts_is_a_conflict_and_ones_own_is_not() -> None:
    following, said = provider(update_email=True), profile(email="NEW@example.com")
    other = account(id=2, email="new@example.com")
    assert outcome(following, said, known=account(), same_email=other) is EmailConflict
    own = replace(other, id=1)
    assert isinstance(outcome(following, said, known=own, same_email=own), Admit)
    assert isinstance(outcome(provider(), said, known=account(), same_email=other), Admit)
    older = account(synchronised_at=2000)
    assert isinstance(outcome(following, said, known=older, same_email=other), Admit)


def test_mallory_does_not_become_alice_by_naming_her_address() -> None:
    """Mallory's token is valid, with her own id, but with Alice's e-mail."""
    said = profile(sub=f"id-of-{MALLORY.email}", email=ALICE.email)
    assert outcome(provider(), said, same_email=account(has_identity_here=True)) is EmailConflict
    assert (
        outcome(provider(update_email=True), said, known=account(id=9, email=MALLORY.email), same_email=account())
        is EmailConflict
    )
