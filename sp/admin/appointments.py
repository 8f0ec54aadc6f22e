"""Make an account an administrator, or an ordinary account again. The page asks for confirmation first.

Only administrators who were appointed by hand may do this. To a person who is an administrator only by a group, the
page says that it is not allowed.
"""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shared.web import page
from sp.accounts.administrators import NotByHand, id_text
from sp.accounts.manage import ControlledByProviders, LastAdministrator
from sp.admin.guard import administrator, administrators_only
from sp.admin.users import find_account, is_by_hand
from sp.current import components

views = Blueprint("appointments", __name__)
administrators_only(views)


@views.post("/settings/users/<int:account_id>/appoint")
def appoint(account_id: int) -> ResponseReturnValue:
    """Make an account an administrator's.

    The page that asks for confirmation lists the ids that sign in to the account, because the providers of these ids
    decide who can sign in to it.
    """
    detail = find_account(account_id)
    if not is_by_hand():
        return _only_by_hand(account_id)
    if not request.form.get("confirmed"):
        return _question(account_id, appoints=True)
    try:
        done = components().administrators.appoint(
            account_id, shown=request.form.getlist("id"), by=administrator().account_id
        )
    except NotByHand:
        return _only_by_hand(account_id)
    except ControlledByProviders:
        return _question(account_id, appoints=True, status=409)
    if done:
        flash(f"{detail.person.email} is an administrator now.")
    elif not detail.person.is_active:
        flash("This account is disabled. Enable it first.", "warning")
    return redirect(url_for("users.show", account_id=account_id), 303)


@views.post("/settings/users/<int:account_id>/dismiss")
def dismiss(account_id: int) -> ResponseReturnValue:
    """Withdraw the right to administer. The last active administrator keeps this right."""
    detail = find_account(account_id)
    if not is_by_hand():
        return _only_by_hand(account_id)
    if not request.form.get("confirmed"):
        return _question(account_id, appoints=False)
    try:
        components().administrators.dismiss(account_id, by=administrator().account_id)
    except NotByHand:
        return _only_by_hand(account_id)
    except LastAdministrator:
        flash("This is the last active administrator. Make another account an administrator first.", "danger")
        return redirect(url_for("users.show", account_id=account_id), 303)
    if account_id == administrator().account_id:
        flash("You are not an administrator any more.")
        return redirect(url_for("account.show"), 303)
    flash(f"{detail.person.email} is not an administrator any more.")
    return redirect(url_for("users.show", account_id=account_id), 303)


def _only_by_hand(account_id: int) -> ResponseReturnValue:
    flash("Nothing was changed. You are an administrator only by a group, so you cannot do this.", "danger")
    return redirect(url_for("users.show", account_id=account_id), 303)


def _question(account_id: int, *, appoints: bool, status: int = 200) -> ResponseReturnValue:
    detail = find_account(account_id)
    return page(
        "sp/settings/appoint.html" if appoints else "sp/settings/dismiss.html",
        status,
        detail=detail,
        person=detail.person,
        ids=[id_text(known) for known in detail.identities],
        is_own=account_id == administrator().account_id,
    )
