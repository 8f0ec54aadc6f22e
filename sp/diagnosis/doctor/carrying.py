"""Probe whether a chain passes on cookies and long headers unchanged, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

from sp.diagnosis.doctor.chain import Chain
from sp.diagnosis.inspector import Finding

SECRET = "doctor-session-secret"
LONG = 6000  # bytes: the session cookie, cookies of the application, and cookies of analytics
LONG_ANSWER = 6000  # bytes: an assertion with a hundred groups


def both_ways(chain: Chain) -> Iterator[Finding]:
    """Probe cookies and long headers between client and gateway."""
    answer = chain.ask_gateway((("Cookie", "doctor=1; other=2"),))
    yield chain.judge(
        "cookie_passed",
        answer.echo is not None and "doctor=1" in answer.echo.header("Cookie"),
        "the cookies of the client reach the gateway",
        "the cookies of the client do not reach the gateway, so no session is found and sign-in repeats for ever",
    )
    wanted = [str(line) for line in (answer.echo.content.get("set_cookies") if answer.echo else None) or []]
    got = answer.reply.headers.get_all("Set-Cookie") or [] if answer.reply else []
    yield chain.judge(
        "set_cookie",
        bool(wanted) and all(line in got for line in wanted),
        "the cookies of the gateway reach the client unchanged",
        f"of {len(wanted)} cookies that the gateway set, {sum(line in got for line in wanted)} reached the client "
        "unchanged, so people cannot stay signed in",
    )
    long = chain.ask_gateway((("Cookie", f"doctor={'x' * LONG}"),))
    yield chain.judge(
        "large_request",
        long.echo is not None and f"doctor={'x' * LONG}" in long.echo.header("Cookie"),
        f"a Cookie header of {LONG} bytes reaches the gateway",
        f"a Cookie header of {LONG} bytes does not reach the gateway ({long.said}), so people with many cookies are "
        "locked out",
    )


def to_the_application(chain: Chain) -> Iterator[Finding]:
    """Probe that the application gets no session cookie and, behind a proxy, that the gateway's long answer passes."""
    cookie = f"first=1; {chain.session_cookie}={SECRET}; last=2"
    echo = chain.ask_application(headers=(("Cookie", cookie),)).echo
    yield chain.judge(
        "session_cookie",
        not (echo and echo.carriers(SECRET)),
        "the application does not get the session cookie",
        "the application gets the session cookie: anyone who can read its logs or its memory can act as its visitors",
    )
    if chain.is_forward_auth:
        long = chain.ask_application(padding=LONG_ANSWER)
        yield chain.judge(
            "large_answer",
            long.echo is not None,
            f"an answer of the gateway with a header of {LONG_ANSWER} bytes is understood",
            f"an answer of the gateway with a header of {LONG_ANSWER} bytes becomes {long.said}, so people in many "
            "groups are locked out",
        )
