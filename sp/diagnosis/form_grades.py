"""Grade the security around an identity provider's sign-in form: cookies, frames, other sites, guesses, sign-out.

A finding has *failed* if the fault lets others act as the person. It is *advice* if the fault helps only a determined
attacker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.cookiejar import Cookie
from statistics import median

from sp.diagnosis.browsing import Browser
from sp.diagnosis.doctor.forging import unsigned
from sp.diagnosis.inspector import Finding
from sp.diagnosis.journey import Journey
from sp.redirects import add_query

SLOW = 0.03  # seconds: a password hash that is faster than this cannot be measured over a network
MUCH_FASTER = 3  # times


def form(journey: Journey) -> Iterator[Finding]:
    """Grade whether other sites can show the form in a frame."""
    page = journey.form_page
    if page is None:
        return
    policy = page.headers.get("Content-Security-Policy", "").lower()
    ancestors = next((d for d in policy.split(";") if d.strip().startswith("frame-ancestors")), "")
    framed_by_us_only = page.headers.get("X-Frame-Options", "").strip().lower() in ("deny", "sameorigin")
    if (ancestors and "*" not in ancestors.split()) or framed_by_us_only:
        yield Finding("framing", "passed", "other sites cannot show the sign-in form in a frame")
    else:
        remedy = "Send Content-Security-Policy: frame-ancestors 'none' with the form."
        yield Finding(
            "framing", "advice", "any site can show the sign-in form in a frame and lay its own page over it", remedy
        )


def session(journey: Journey, browser: Browser) -> Iterator[Finding]:
    """Grade the cookies of the browser that is now signed in."""
    before = journey.cookies_before
    changed = [cookie for cookie in browser.cookies if before.get(cookie.name) != cookie.value]
    if changed or not before:
        yield Finding("session_renewed", "passed", "the sign-in begins a new session")
    else:
        remedy = "Give the browser a new session id when the password was right (in PHP: session_regenerate_id(true))."
        explanation = (
            "the session id is the same before and after the sign-in: who knows it from before is signed in too"
        )
        yield Finding("session_renewed", "failed", explanation, remedy)
    cookies = changed or list(browser.cookies)
    open_to_scripts = sorted({cookie.name for cookie in cookies if not _is_http_only(cookie)})
    yield _advise(
        "cookie_http_only",
        not open_to_scripts,
        "scripts cannot read the session cookie",
        f"scripts of the page can read the cookie {', '.join(open_to_scripts)}",
        "Set the session cookie with HttpOnly.",
    )
    if journey.carrier.url.startswith("https:"):
        insecure = sorted({cookie.name for cookie in cookies if not cookie.secure})
        yield _advise(
            "cookie_secure",
            not insecure,
            "browsers send the session cookie over https only",
            f"browsers also send the cookie {', '.join(insecure)} over plain http",
            "Set the session cookie with Secure.",
        )


def other_site(journey: Journey | None) -> Finding:
    """Grade the answer to a form that a page of another site sent."""
    if journey is None:
        return Finding("form_csrf", "skipped", "no form asks for the e-mail and the password on one page")
    remedy = "Put a random value into the form that belongs to the browser's cookie, and reject the form without it."
    return _advise(
        "form_csrf",
        not journey.token,
        "a page of another site cannot send the sign-in form",
        "a page of another site can sign a visitor in, to an account of the attacker (login CSRF)",
        remedy,
    )


def guesses(known: Journey, guess: Callable[[str], Journey], emails: tuple[str, str]) -> Iterator[Finding]:
    """Compare the answers to a wrong password for a known and for an unknown e-mail.

    *emails* has the known e-mail first and the unknown e-mail second. *known* is the first visit with the known e-mail.
    *guess* makes one more visit with a given e-mail.
    """
    unknown = guess(emails[1])
    same = _shown(known, emails[0]) == _shown(unknown, emails[1])
    yield _advise(
        "user_enumeration",
        same,
        "a wrong password and an unknown e-mail bring the same page",
        "the page after a wrong password differs from the page after an unknown e-mail, so anyone can find out who has "
        "an account",
        "Answer both with the same status and text.",
    )
    if not same:
        return
    yield _advise(
        "user_timing",
        not _tells_by_time(known, unknown, guess, emails),
        "an unknown e-mail takes as long as a known one",
        "an unknown e-mail is answered much faster than a known one, so anyone can measure who has an account",
        "Hash the password for unknown people too, and discard the result.",
    )


def _tells_by_time(known: Journey, unknown: Journey, guess: Callable[[str], Journey], emails: tuple[str, str]) -> bool:
    """Tell whether an unknown person is answered much faster, also in repeated visits. In doubt, return False.

    Other work on the machine makes a visit slower, never faster. So the fastest visit of the known person is compared
    with the median of the unknown person's visits, which one slow visit does not change. The known person gets another
    visit only if the times look suspicious, because many providers lock an account after a few wrong passwords.
    """
    seconds = {email: [_seconds(journey)] for email, journey in zip(emails, (known, unknown), strict=True)}
    if min(seconds[emails[0]]) <= SLOW:
        return False
    for rounds in (emails[1], emails[1]), (emails[0], emails[1], emails[1]):
        for email in rounds:
            again = guess(email)
            if _shown(again, email) != _shown(known, emails[0]):
                return False  # such as the page about too many attempts, which is fast
            seconds[email].append(_seconds(again))
        fastest, usual = min(seconds[emails[0]]), median(seconds[emails[1]])
        if fastest <= SLOW or usual * MUCH_FASTER >= fastest:
            return False
    return True


def unsigned_sign_out(logout_url: str, email: str) -> str:
    """Return a URL that would sign *email* out if the provider did not verify the token's signature."""
    return add_query(logout_url, jwt=unsigned({"email": email, "jti": "lychgate-check"}, typ="logout+jwt"))


def after_sign_out(journey: Journey) -> Finding:
    """Grade the visit after an unsigned sign-out token: the person must still be signed in."""
    if journey.token:
        return Finding(
            "sign_out_signature", "passed", "a sign-out token without a signature does not sign the person out"
        )
    remedy = "Verify the signature, the type and the time of a sign-out token before you end the session."
    return Finding("sign_out_signature", "failed", "a sign-out token without a signature signs the person out", remedy)


def _shown(journey: Journey, email: str) -> tuple[int, str] | None:
    page = journey.password_page
    return (page.status, page.text.replace(email, "")) if page else None


def _seconds(journey: Journey) -> float:
    page = journey.password_page
    return page.seconds if page else 0.0


def _is_http_only(cookie: Cookie) -> bool:
    return any(cookie.has_nonstandard_attr(name) for name in ("HttpOnly", "httponly", "HTTPOnly", "Httponly"))


def _advise(check: str, holds: bool, good: str, bad: str, remedy: str) -> Finding:
    return Finding(check, "passed", good) if holds else Finding(check, "advice", bad, remedy)
