"""Counters for Prometheus, told to this machine and to trusted proxies' side only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flask import Blueprint, Response, abort, request

from sp.core import core
from sp.counters import counters
from sp.proxies import Peers, is_this_machine

FAMILIES = {
    "decision": ("lychgate_decisions", "Requests for the application, by what was decided.", ("skin", "verdict")),
    "event": ("lychgate_events", "Sign-ins, refusals, restarts, questions and sign-outs.", ("event", "code")),
    "session_query": ("lychgate_session_queries", "Sessions looked up in the database.", ()),
}

views = Blueprint("metrics", __name__)


@views.get("/metrics")
def metrics() -> Response:
    """Tell the counters of all workers, and how many sessions and accounts there are."""
    if not _may_know():
        abort(403, "The counters are told to this machine and to trusted proxies only.")
    live, active = core().session_finder.census()
    gauges = {
        "lychgate_sessions": ("Sessions that live.", live),
        "lychgate_active_accounts": ("Accounts that may sign in: seats taken.", active),
    }
    return Response(_as_text(gauges), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_know() -> bool:
    """Tell whether the peer, or the client that a trusted proxy names, is this machine or trusted itself.

    A peer on this machine that forwards for others without being trusted is a proxy whose word nobody checked.
    """
    trusted = Peers(core().config.trusted_proxies)
    address = request.environ.get("REMOTE_ADDR", "")
    if trusted.include(request.environ.get("lychgate.peer", "")):
        return trusted.include(address) or is_this_machine(address)
    return is_this_machine(address) and not request.environ.get("lychgate.forwarded")


def _as_text(gauges: Mapping[str, tuple[str, int]]) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    class Everything(Collector):
        def collect(self) -> Iterator[Metric]:
            totals = counters.totals()
            for kind, (name, meaning, labels) in FAMILIES.items():
                family = CounterMetricFamily(name, meaning, labels=labels)
                for (found, *values), total in totals.items():
                    if found == kind and (total or kind != "event"):
                        family.add_metric(values[: len(labels)], total)
                yield family
            for name, (meaning, value) in gauges.items():
                yield GaugeMetricFamily(name, meaning, value=value)

    registry = CollectorRegistry()
    registry.register(Everything())
    return generate_latest(registry)
