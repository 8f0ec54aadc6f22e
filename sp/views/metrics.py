"""Serve metrics for Prometheus, to localhost and trusted proxies only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flask import Blueprint, Response, abort, request

from sp.current import components
from sp.metrics_counters import counters
from sp.request.identity_headers import Sender, may_say
from sp.request.trusted_proxies import Peers, is_this_machine

FAMILIES = {
    "decision": ("lychgate_decisions", "Requests for the application, by decision.", ("skin", "verdict")),
    "event": ("lychgate_events", "Sign-ins, rejections, restarts, questions and sign-outs.", ("event", "code")),
    "session_query": ("lychgate_session_queries", "Sessions looked up in the database.", ()),
}
FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
NOT_OF_CLIENTS = {
    *("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_SERVER"),
    *("HTTP_X_FORWARDED_PREFIX", "HTTP_VIA"),
}

views = Blueprint("metrics", __name__)


@views.get("/metrics")
def metrics() -> Response:
    """Return the counters of all workers, and the number of sessions and accounts."""
    if not _may_know():
        abort(403, "Metrics are available only from localhost and trusted proxies.")
    live, active = components().session_finder.live(), components().account_search.active()
    gauges = {
        "lychgate_sessions": ("Live sessions.", live),
        "lychgate_active_accounts": ("Accounts that may sign in: seats taken.", active),
    }
    return Response(_as_text(gauges), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_know() -> bool:
    """Tell whether the peer, and every client that it forwards for, is this machine or a trusted proxy.

    A forwarded request from an untrusted peer on this machine is denied: the proxy's headers cannot be trusted.
    """
    environ, trusted = request.environ, Peers(components().config.trusted_proxies)
    peer = environ.get("lychgate.peer", "")
    if not trusted.include(peer):
        return is_this_machine(peer) and "lychgate.forwarded" not in environ
    forwarding = {key for key in environ if not may_say(Sender.STRANGER, key)}
    if forwarding and FORWARDED_FOR not in forwarding:
        return False
    clients = [client.strip() for key in forwarding - NOT_OF_CLIENTS for client in environ[key].split(",")]
    return all(trusted.include(client) or is_this_machine(client) for client in clients)


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
