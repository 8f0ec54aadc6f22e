"""Which provider a person is sent to who named none, and when the person is asked."""

import pytest

from sp.providers.choice import Offer
from sp.providers.provider import Provider


def provider(name: str, *domains: str, **more: bool | str) -> Provider:
    return Provider(name, email_domains=domains, **{"login_url": f"https://{name}.example/", **more})  # type: ignore[arg-type]


A, B, HIDDEN = provider("a"), provider("b", "b.example"), provider("h", "h.example", show_on_login=False)


@pytest.mark.parametrize(
    ("providers", "must_choose"),
    [
        ([], False),
        ([A], False),
        ([A, B], True),
        ([A, B, provider("d", default=True)], False),
        ([A, B, provider("d", default=True, enabled=False)], False),  # as before: provider_disabled
        ([A, provider("b", enabled=False)], False),
        ([A, HIDDEN], True),
        ([provider("x", show_on_login=False), provider("y", show_on_login=False)], False),  # nothing to choose
        ([provider("x", login_url=""), provider("y", login_url="")], False),
        ([HIDDEN, provider("x", show_on_login=False)], True),  # by e-mail alone
    ],
)
def test_a_person_must_choose_where_no_provider_is_for_everyone(providers: list[Provider], must_choose: bool) -> None:
    assert Offer.of(providers).must_choose is must_choose


@pytest.mark.parametrize(
    ("providers", "remembered", "settled"),
    [
        ([A, B], "", None),
        ([A, B], "b", "b"),
        ([A, B], "gone", None),
        ([A, provider("b", enabled=False), HIDDEN, provider("c")], "b", None),
        ([A, provider("b", show_on_login=False)], "b", "a"),
        ([A, B, HIDDEN], "h", "h"),
        ([A, HIDDEN], "", "a"),
        ([A, B, provider("x", show_on_login=False)], "x", None),  # neither shown nor found by a domain
        ([A, B, provider("x", login_url="")], "x", None),
    ],
)
def test_what_was_chosen_counts_only_while_it_can_be_chosen(
    providers: list[Provider], remembered: str, settled: str | None
) -> None:
    found = Offer.of(providers).settled(remembered)
    assert (found.name if found else None) == settled


@pytest.mark.parametrize(
    ("email", "found"),
    [
        ("x@b.example", "b"),
        (" X@B.EXAMPLE ", "b"),
        ("@h.example", "h"),
        ('"a@a.example"@b.example', "b"),
        ("x@both.example", None),
        ("x@off.example", None),
        ("x@sub.b.example", None),
        ("x@b.example.evil.example", None),
        ("x@b.example@evil.example", None),
        ("x@b.example.", None),
        ("b.example", "b"),
        ("x@", None),
        ("", None),
        ("x@\u212a.example", None),  # a Kelvin sign, whose lower case is k
    ],
)
def test_an_email_leads_to_the_one_provider_that_lists_its_domain(email: str, found: str | None) -> None:
    providers = [
        *(A, B, HIDDEN, provider("k", "k.example")),
        *(provider("c", "both.example"), provider("d", "both.example")),
        provider("off", "off.example", enabled=False),
    ]
    led = Offer.of(providers).for_email(email)
    assert (led.name if led else None) == found


def test_a_domain_that_a_disabled_provider_lists_too_belongs_to_the_other_one() -> None:
    led = Offer.of([A, B, provider("c", "b.example", enabled=False)]).for_email("x@b.example")
    assert led == B
