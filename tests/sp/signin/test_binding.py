"""Which pending sign-in a token answers: every branch of the decision, as a table."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shared.claims import Claims
from shared.errors import NonceMismatch, Rejection, Unsolicited
from sp.providers.provider import Provider
from sp.signin.binding import Answers, Restart, Unasked, bind, check_client, gets_access_token
from sp.signin.pending import Pending

HOME, DEEP, OTHER = "/home", "/reports", "/news"
# Newest first, as the browser's cookies are read.
NEWS = Pending("nonce-of-news", "corporate", OTHER, 200, "cookie-2")
REPORTS = Pending("nonce-of-reports", "corporate", DEEP, 100, "cookie-1")
NOWHERE = Pending("nonce-of-nowhere", "corporate", "", 50, "cookie-0")
FOREIGN = Pending("nonce-of-foreign", "corporate", OTHER, 200, "cookie-3", elsewhere=True)
LOGIN = "https://idp.example/login"


def provider(**settings: Any) -> Provider:
    return Provider("corporate", **{"login_url": LOGIN, **settings})


def claims(nonce: str | None = None) -> Claims:
    return Claims.parse({"jti": "1"} | ({"nonce": nonce} if nonce else {}))


def never() -> bool:
    raise AssertionError("nothing here depends on the browser's session")


RESTART, ACCEPT, REFUSE = provider(), provider(unsolicited="accept"), provider(unsolicited="refuse")
NO_LOGIN = provider(login_url="")
STRICT = provider(require_nonce=True)
Signed = Callable[[], bool]


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.mark.parametrize(
    ("nonce", "of", "pending", "wanted", "signed_in", "expected"),
    [
        # Nothing was started.
        (None, RESTART, [], DEEP, never, Restart()),
        ("made-up", RESTART, [], DEEP, never, Restart()),
        (None, NO_LOGIN, [], DEEP, never, Unsolicited),
        (None, REFUSE, [], DEEP, never, Unsolicited),
        ("made-up", REFUSE, [], DEEP, never, NonceMismatch),
        (None, ACCEPT, [], DEEP, never, Unasked(DEEP)),
        (None, ACCEPT, [], None, never, Unasked(HOME)),
        ("made-up", ACCEPT, [], DEEP, never, NonceMismatch),
        # The nonce names the sign-in, whatever else there is.
        (NEWS.nonce, RESTART, [NEWS, REPORTS], None, never, Answers(NEWS, OTHER, False)),
        (REPORTS.nonce, RESTART, [NEWS, REPORTS], OTHER, never, Answers(REPORTS, DEEP, False)),
        (REPORTS.nonce, STRICT, [NEWS, REPORTS], None, never, Answers(REPORTS, DEEP, False)),
        # No nonce: the page that the token names, or else the newest.
        (None, RESTART, [NEWS, REPORTS], DEEP, never, Answers(REPORTS, DEEP, False)),
        (None, RESTART, [NEWS, REPORTS], "/elsewhere", never, Answers(NEWS, OTHER, False)),
        (None, RESTART, [NEWS, REPORTS], None, never, Answers(NEWS, OTHER, False)),
        (None, STRICT, [NEWS, REPORTS], DEEP, never, NonceMismatch),
        (None, STRICT, [], DEEP, never, Restart()),
        # A sign-in for no page of ours lands where the token says, or at the provider's page.
        (None, RESTART, [NOWHERE], DEEP, never, Answers(NOWHERE, DEEP, False)),
        (None, RESTART, [NOWHERE], None, never, Answers(NOWHERE, HOME, False)),
        # The nonce of another sign-in: of one that is over, or of an attacker.
        ("of-before", RESTART, [NEWS], None, yes, Restart()),
        ("of-before", RESTART, [NEWS], None, no, NonceMismatch),
        ("of-before", NO_LOGIN, [NEWS], None, yes, NonceMismatch),
        ("of-before", REFUSE, [NEWS], None, yes, NonceMismatch),
        ("of-before", ACCEPT, [NEWS], None, yes, NonceMismatch),
        # A foreign page may have begun it: the person is asked, unless a nonce ties the token to it.
        (None, RESTART, [FOREIGN], None, never, Answers(FOREIGN, OTHER, True)),
        (None, REFUSE, [FOREIGN], None, never, Answers(FOREIGN, OTHER, True)),
        (None, ACCEPT, [FOREIGN], None, never, Answers(FOREIGN, OTHER, False)),
        (FOREIGN.nonce, RESTART, [FOREIGN], None, never, Answers(FOREIGN, OTHER, False)),
        (None, RESTART, [FOREIGN, REPORTS], DEEP, never, Answers(REPORTS, DEEP, False)),
    ],
)
def test_a_token_answers_one_pending_sign_in_or_none(
    nonce: str | None,
    of: Provider,
    pending: Sequence[Pending],
    wanted: str | None,
    signed_in: Signed,
    expected: Any,
) -> None:
    def bound() -> Any:
        return bind(claims(nonce), of, pending, wanted=wanted, home=HOME, signed_in=signed_in)

    if isinstance(expected, type):
        with pytest.raises(expected):
            bound()
    else:
        assert bound() == expected


@pytest.mark.parametrize(
    ("nonce", "of", "pending", "expected"),
    [
        (None, ACCEPT, [], None),
        (None, RESTART, [], None),
        (None, REFUSE, [], Unsolicited),
        ("made-up", REFUSE, [], NonceMismatch),
        ("made-up", ACCEPT, [], NonceMismatch),
        ("made-up", RESTART, [NEWS], NonceMismatch),
        (None, STRICT, [], NonceMismatch),
        (None, REFUSE, [NEWS], None),
        (NEWS.nonce, REFUSE, [NEWS], None),
    ],
)
def test_a_client_without_a_cookie_is_bound_to_its_nonce_only(
    nonce: str | None, of: Provider, pending: Sequence[Pending], expected: type[Rejection] | None
) -> None:
    if expected is None:
        check_client(claims(nonce), of, pending)
        return
    with pytest.raises(expected):
        check_client(claims(nonce), of, pending)


@pytest.mark.parametrize(
    ("delivery", "landing", "given"),
    [("none", HOME, False), ("query", HOME, True), ("fragment", HOME, True), ("query", DEEP, False)],
)
def test_attack_a_page_that_the_sender_chose_gets_no_access_token(delivery: str, landing: str, given: bool) -> None:
    assert gets_access_token(provider(access_token_delivery=delivery), landing, HOME) is given
