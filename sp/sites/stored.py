"""Store the sites and rules that the running gateway has put in force, so that `config plan` can compare with them.

Only the parsed sites and rules are stored. Providers and secrets are not. When a worker puts a file in force, it stores
the sites and rules if they have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from shared.clock import utc_now
from shared.schema import lock_for_transaction
from sp.database.access import Database
from sp.database.models import RulesInForce
from sp.policy.decision import Rule
from sp.sites.in_force import InForce
from sp.sites.site import Site

IN_FORCE_LOCK = 0x72756C65  # "rule"; on PostgreSQL, it makes nodes that start together write one after another
ONLY_ROW = 1
MEMBERS = ("groups", "users", "email_domains")

_table: Any = RulesInForce.__table__


def record(database: Database, in_force: InForce) -> None:
    """Store the sites and rules in force, if they have changed. Raises StoreUnavailable."""
    sites = [_site_as_json(site) for site in in_force.sites]
    if _read(database) == sites:
        return
    with database.writing() as connection:
        lock_for_transaction(connection, IN_FORCE_LOCK)
        values = {"sites": sites, "changed_at": utc_now()}
        if connection.execute(update(_table).where(_table.c.id == ONLY_ROW).values(**values)).rowcount == 0:
            connection.execute(insert(_table).values(id=ONLY_ROW, **values))


def stored_sites(database: Database) -> tuple[Site, ...] | None:
    """Return the sites that were last put in force, home first, or None if no sites have ever been stored."""
    sites = _read(database)
    return None if sites is None else tuple(_site_from_json(site) for site in sites)


def _read(database: Database) -> list[dict[str, Any]] | None:
    with database.reading() as connection:
        found: list[dict[str, Any]] | None = connection.execute(select(_table.c.sites)).scalar()
        return found


def _site_as_json(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "url": site.url,
        "app": "" if site.is_home else site.app,
        "identity_headers": site.identity_headers,
        "provider": site.provider,
        "rules": [_rule_as_json(rule) for rule in site.rules],
    }


def _rule_as_json(rule: Rule) -> dict[str, Any]:
    members = {name: sorted(getattr(rule, name)) for name in MEMBERS if getattr(rule, name)}
    shadow = {"shadow": True} if rule.shadow else {}
    return {"path": rule.path, "methods": sorted(rule.methods), "allow": rule.allow, **members, **shadow}


def _site_from_json(stored: Mapping[str, Any]) -> Site:
    rules = tuple(_rule_from_json(rule) for rule in stored["rules"])
    return Site(**{**stored, "rules": rules})


def _rule_from_json(stored: Mapping[str, Any]) -> Rule:
    sets = {name: frozenset(stored.get(name, ())) for name in ("methods", *MEMBERS)}
    return Rule(stored["path"], allow=stored["allow"], shadow=stored.get("shadow", False), **sets)
