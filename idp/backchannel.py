"""Tell services that a session is over: OpenID Connect Back-Channel Logout 1.0, server to server.

All services are told at once, and the person waits for none longer than DELIVERY_SECONDS. A service that did not
take the news is told again later, by a thread of whichever worker finds it due (housekeeping.py).
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from idp.issuer import generate_token_id
from idp.logout_tokens import make_sign_out
from idp.parts import parts
from idp.services import Service, ServiceUnknown
from idp.stores import outbox
from idp.stores.outbox import Notice

ANSWER_SECONDS = 2.0  # for one step of one delivery: to connect, or to answer
DELIVERY_SECONDS = 3.0  # for all deliveries together: how long a person waits for the page
MAX_AT_ONCE = 16


class DeliveryFailed(Exception):
    """The service did not take the news. The text says why, without the token."""


@dataclass(frozen=True)
class Outcome:
    """What came of telling one service: told, or why not and whether it is tried again."""

    title: str
    problem: str = ""
    again: bool = False


def deliver(notice_ids: Sequence[str]) -> list[Outcome]:
    """Deliver the notices in parallel and return what came of each, by the services' titles.

    Bounded in time: a delivery that is still under way then counts as failed, and is tried again.
    """
    notices = [notice for notice_id in notice_ids if (notice := outbox.claim(notice_id))]
    if not notices:
        return []
    pool = ThreadPoolExecutor(min(MAX_AT_ONCE, len(notices)), thread_name_prefix="back-channel")
    under_way = [(notice, *_begin(pool, notice)) for notice in notices]
    wait([future for _, _, future in under_way if future is not None], timeout=DELIVERY_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    outcomes = [_settle(notice, service, future) for notice, service, future in under_way]
    return sorted(outcomes, key=lambda outcome: outcome.title)


def send(address: str, logout_token: str) -> None:
    """Post the token to *address* (section 2.5), or raise DeliveryFailed. Redirects are not followed."""
    body = urlencode({"logout_token": logout_token}).encode("ascii")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}
    request = urllib.request.Request(address, body, headers, method="POST")  # noqa: S310  # the address is registered
    try:
        with _opener().open(request, timeout=ANSWER_SECONDS) as answer:
            if answer.status not in (200, 204):  # section 2.8
                raise DeliveryFailed(f"it answered {answer.status}")
    except urllib.error.HTTPError as error:
        error.close()
        raise DeliveryFailed(f"it answered {error.code}") from None
    except TimeoutError:
        raise DeliveryFailed("it did not answer in time") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        timed_out = isinstance(reason, TimeoutError)
        raise DeliveryFailed("it did not answer in time" if timed_out else "it could not be reached") from None


def _begin(pool: ThreadPoolExecutor, notice: Notice) -> tuple[Service | None, Any]:
    """Make the token here, where the database is at hand; only the sending happens in the pool."""
    try:
        service = parts().services.find(notice.service)
    except ServiceUnknown:
        return None, None
    now = parts().now()
    token = make_sign_out(
        service,
        subject=notice.subject,
        sid=notice.sid,
        key=service.signing_key(now),
        token_id=generate_token_id(),
        now=int(now.timestamp()),
        our_address=parts().settings.external_url,
    )
    return service, pool.submit(send, service.backchannel_logout_url, token)


def _settle(notice: Notice, service: Service | None, future: Any) -> Outcome:
    """Write down what came of a delivery."""
    if service is None:
        outbox.delivered(notice)  # it is no longer registered: there is nobody left to tell
        return Outcome(notice.service)
    if not future.done():
        problem = "it did not answer in time"
    else:
        error = future.exception()
        if error is None:
            outbox.delivered(notice)
            return Outcome(service.title)
        if not isinstance(error, DeliveryFailed):
            raise error
        problem = str(error)
    return Outcome(service.title, problem, outbox.failed(notice, problem))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing: the address is the one that is registered."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)
