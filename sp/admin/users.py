"""Manage accounts: find one, show its profile and sessions, disable or enable it."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from shared.errors import SeatLimitReached
from shared.web import page
from sp.accounts.manage import LastAdministrator
from sp.accounts.search import PersonDetail
from sp.activity import audit
from sp.activity import search as activity_log
from sp.admin.guard import administrator, administrators_only
from sp.current import components
from sp.events import WORDS

views = Blueprint("users", __name__)
administrators_only(views)

LATEST = 10  # lines of activity and changes on an account's page
MAX_SEARCH = 254
STATES = {"": "All", "active": "Active", "disabled": "Disabled", "administrators": "Administrators"}


@views.get("/settings/users", strict_slashes=False)
def index() -> ResponseReturnValue:
    """Search accounts by e-mail address or name."""
    search = request.args.get("q", "").strip()[:MAX_SEARCH]
    state = request.args.get("state", "")
    found = components().account_search.page(search, state=state, after=request.args.get("after", ""))
    return page(
        "sp/settings/users.html",
        search=search,
        state=state,
        states=STATES,
        found=found,
        active=components().account_search.active(),
        seat_limit=components().config.seat_limit,
        beginning=not request.args.get("after"),
    )


@views.get("/settings/users/<int:account_id>")
def show(account_id: int) -> ResponseReturnValue:
    """Show one account."""
    return _user_page(find_account(account_id))


@views.post("/settings/users/<int:account_id>/disable")
def disable(account_id: int) -> ResponseReturnValue:
    """Disable an account; its sessions end at once."""
    detail = find_account(account_id)
    try:
        components().people.disable(account_id, actor=administrator().email, keep_an_administrator=True)
    except LastAdministrator:
        flash("This is the last active administrator. Appoint another one before you disable this one.", "danger")
        return _user_page(detail, 409)
    flash(f"{detail.person.email} is disabled, and all of its sessions have ended.")
    return _back(account_id)


@views.post("/settings/users/<int:account_id>/enable")
def enable(account_id: int) -> ResponseReturnValue:
    """Enable an account again, if a seat is free."""
    detail = find_account(account_id)
    try:
        components().people.enable(account_id, actor=administrator().email)
    except SeatLimitReached:
        limit = components().config.seat_limit
        flash(
            f"All {limit} seats are taken by active accounts. First disable an account that is not needed any more.",
            "danger",
        )
        return _user_page(detail, SeatLimitReached.status)
    flash(f"{detail.person.email} is enabled.")
    return _back(account_id)


@views.post("/settings/users/<int:account_id>/sessions/end")
def end_sessions(account_id: int) -> ResponseReturnValue:
    """End every session of a person, or the one that the form names."""
    detail = find_account(account_id)
    public_id, actor = request.form.get("session"), administrator().email
    if public_id:
        components().people.sign_out(account_id, actor=actor, public_id=public_id)
        flash("The session has ended.")
    else:
        ended = components().people.sign_out(account_id, actor=actor)
        flash(f"{ended} {'session has' if ended == 1 else 'sessions have'} ended for {detail.person.email}.")
    return _back(account_id)


def find_account(account_id: int) -> PersonDetail:
    """Return an account, or raise NotFound."""
    detail = components().account_search.detail(account_id)
    if detail is None:
        raise NotFound("This account does not exist.")
    return detail


def is_by_hand() -> bool:
    """Tell whether the signed-in person was appointed by hand, and is not an administrator only by a group."""
    own = components().account_search.detail(administrator().account_id)
    return own is not None and own.person.is_admin


def _user_page(detail: PersonDetail, status: int = 200) -> ResponseReturnValue:
    database = components().database
    return page(
        "sp/settings/user.html",
        status,
        detail=detail,
        person=detail.person,
        sessions=components().session_finder.list_of(detail.person.id),
        current=administrator().public_id,
        may_appoint=is_by_hand(),
        latest=activity_log.of_account(database, detail.person.id, limit=LATEST),
        events=WORDS,
        changes=audit.recent(database, subject=detail.person.email, limit=LATEST),
    )


def _back(account_id: int) -> ResponseReturnValue:
    return redirect(url_for("users.show", account_id=account_id), 303)
