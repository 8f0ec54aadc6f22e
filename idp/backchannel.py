"""Notify services that a session ended, from server to server (OpenID Connect Back-Channel Logout 1.0).

All services are notified in parallel, and the person waits at most DELIVERY_SECONDS. If a notification fails, it is
retried later, a limited number of times: each worker has a thread that looks for notifications that are due, and the
first thread that finds one sends it (housekeeping.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from idp.context import context
from idp.issuer import generate_token_id
from idp.logout_tokens import make_sign_out
from idp.services import Service, ServiceUnknown
from idp.stores import outbox
from idp.stores.outbox import Notice
from idp.stores.sessions import Ended
from shared.outbound import ExchangeFailed, exchange
from shared.phrases import N_, Phrase

ANSWER_SECONDS = 2.5  # for one delivery, from the connection to the last byte of the answer
MOST_BYTES = 65_536  # of an answer, which is empty or a small JSON object
MOST_BYTES_READ = 1024  # of an answer that we parse
MOST_SESSIONS = 1_000_000  # a larger number in an answer is not accepted
DELIVERY_SECONDS = 3.0  # for all deliveries together: the person waits this long for the page
MAX_AT_ONCE = 16


class DeliveryFailed(Exception):
    """The notification failed. The text is for the person, and `detail` is for the operator.

    Neither of them contains a token.
    """

    def __init__(self, problem: Phrase, detail: str = "") -> None:
        self.problem, self.detail = problem, detail or str(problem)
        super().__init__(str(problem))


@dataclass(frozen=True)
class Outcome:
    """The result of notifying one service that a session ended.

    `ended` is the number of sessions that the service ended, or None if the service reports no number. If the service
    was not notified, `problem` says why, and `again` whether it will be retried. A notified service has not necessarily
    ended a session.
    """

    title: str
    problem: Phrase | None = None
    again: bool = False
    ended: int | None = None

    @property
    def told(self) -> bool:
        """Tell whether the service accepted the notification."""
        return not self.problem

    @property
    def certain(self) -> bool:
        """Tell whether the service says that it ended something."""
        return self.told and bool(self.ended)

    @property
    def text(self) -> Phrase:
        """Return the outcome in a sentence."""
        title, problem, ended = self.title, self.problem, self.ended
        if problem and self.again:
            text = N_("%(title)s: could not be notified, because %(problem)s. We will try again.")
            return Phrase(text, title=title, problem=problem)
        if problem:
            return Phrase("%(title)s: could not be notified, because %(problem)s.", title=title, problem=problem)
        if ended is None:
            return Phrase("%(title)s: notified. It does not say which sessions it ended.", title=title)
        if ended == 0:
            return Phrase("%(title)s: notified. It found no session to end.", title=title)
        if ended == 1:
            return Phrase("%(title)s: notified. It ended 1 session.", title=title)
        return Phrase("%(title)s: notified. It ended %(ended)s sessions.", title=title, ended=ended)

    def __str__(self) -> str:
        return str(self.text)


def tell(ended: Ended) -> list[Outcome]:
    """Notify the services of ended sessions; return the outcomes, sorted by the titles of the services."""
    outcomes = [*deliver(ended.notices), *(_untold(name) for name in ended.untold)]
    return sorted(outcomes, key=lambda outcome: outcome.title)


def deliver(notice_ids: Sequence[str]) -> list[Outcome]:
    """Deliver the notices in parallel and return the outcomes, sorted by the titles of the services.

    Wait at most DELIVERY_SECONDS. A delivery that has not finished by then counts as failed. A failed delivery is
    retried later, except after the last attempt (outbox.RETRY_AFTER).
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


def send(url: str, logout_token: str) -> int | None:
    """Post the token to the URL *url* (section 2.5), or raise DeliveryFailed. Redirects are not followed.

    Returns how many sessions the service says it ended, or None if it does not say.
    """
    try:
        answer = exchange(
            url,
            seconds=ANSWER_SECONDS,
            most_bytes=MOST_BYTES,
            method="POST",
            body=urlencode({"logout_token": logout_token}).encode("ascii"),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"},
            http_anywhere=True,  # the operator decides: many gateways run on the identity provider's host
        )
    except ExchangeFailed as failure:
        late = isinstance(failure.__cause__, TimeoutError)
        problem = Phrase("it did not answer in time") if late else Phrase("it could not be reached")
        raise DeliveryFailed(problem, str(failure)) from None
    if answer.status not in (200, 204):  # section 2.8
        raise DeliveryFailed(Phrase("it answered %(status)s", status=answer.status))
    return sessions_ended(answer.body)


def sessions_ended(body: bytes) -> int | None:
    """Return the count in `{"sessions_ended": 2}`, which is our gateway's answer, or None for any other answer."""
    if len(body) > MOST_BYTES_READ:
        return None
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    count = said.get("sessions_ended") if isinstance(said, dict) else None
    return count if type(count) is int and 0 <= count <= MOST_SESSIONS else None


def _begin(pool: ThreadPoolExecutor, notice: Notice) -> tuple[Service | None, Any]:
    """Make the token in this thread, which has the database session, and let the pool send it."""
    try:
        service = context().services.find(notice.service)
    except ServiceUnknown:
        return None, None
    now = context().now()
    token = make_sign_out(
        service,
        subject=notice.subject,
        sid=notice.sid,
        named=notice.claims,
        key=service.signing_key(now),
        token_id=generate_token_id(),
        now=int(now.timestamp()),
        our_url=context().settings.external_url,
    )
    return service, pool.submit(send, service.backchannel_logout_url, token)


def _settle(notice: Notice, service: Service | None, future: Any) -> Outcome:
    """Record the outcome of a delivery."""
    if service is None:
        outcome = _untold(notice.service)
        outbox.dropped(notice, str(outcome.problem))
        return outcome
    in_time = future.done() and not future.cancelled()
    failure = future.exception() if in_time else DeliveryFailed(Phrase("it did not answer in time"))
    if failure is None:
        ended = future.result()
        outbox.delivered(notice, f"sessions ended: {'unknown' if ended is None else ended}")
        return Outcome(service.title, ended=ended)
    if not isinstance(failure, DeliveryFailed):
        raise failure
    return Outcome(service.title, failure.problem, outbox.failed(notice, failure.detail))


def _untold(name: str) -> Outcome:
    """Return the outcome for a service without a URL for notifications."""
    try:
        return Outcome(context().services.find(name).title, Phrase("it has no URL for sign-outs"))
    except ServiceUnknown:
        return Outcome(name, Phrase("it was removed from the services here"))
