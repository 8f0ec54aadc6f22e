"""Serve metrics for Prometheus, to localhost and trusted proxies only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, request

from sp.current import components
from sp.diagnosis.health import ProviderHealth
from sp.metrics_counters import BOUNDS, BUCKETS, DECIDING, SIGNING_IN, STORING, SUM, TIMED, TIMED_EVERY, counters
from sp.request.identity_headers import Sender, may_say
from sp.request.trusted_proxies import Peers, is_this_machine
from sp.rule_counters import DECIDED

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily

FAMILIES = {
    "decision": ("lychgate_decisions", "Requests for the application, by decision.", ("skin", "verdict")),
    "event": ("lychgate_events", "Sign-ins, rejections, restarts, questions and sign-outs.", ("event", "code")),
    "session_query": ("lychgate_session_queries", "Sessions looked up in the database.", ()),
}
HISTOGRAMS = {
    DECIDING: (
        "lychgate_decision_duration_seconds",
        f"Time to decide about a request for the application, session included; every {TIMED_EVERY}th is timed.",
        "skin",
    ),
    SIGNING_IN: (
        "lychgate_sign_in_duration_seconds",
        "Time of an accepted sign-in by token, by step. total: from the token's arrival to the open session.",
        "step",
    ),
    STORING: (
        "lychgate_store_duration_seconds",
        "Time of a transaction of the database, or of a call of Redis, waiting and failures included.",
        "operation",
    ),
}
SHADOWS = (
    "lychgate_shadow_decisions",
    "Requests that a shadow rule would have decided otherwise, by number of the rule.",
)
REJECTED = "1 if the file of SP_CONFIG has an error, so that it is not in force; else 0."
LIMITS = (*(f"{bound / 1e9:g}" for bound in BOUNDS), "+Inf")  # seconds
FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
NOT_OF_CLIENTS = {
    *("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_SERVER"),
    *("HTTP_X_FORWARDED_PREFIX", "HTTP_VIA"),
}

views = Blueprint("metrics", __name__)


@dataclass(frozen=True)
class Gauge:
    """A metric that can go up and down. `values` has its value for each tuple of values of the labels."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


@views.get("/metrics")
def metrics() -> Response:
    """Return the counters of all workers, the number of sessions and accounts, and the margins of the providers."""
    if not _may_know():
        abort(403, "Metrics are available only from localhost and trusted proxies.")
    live, active = components().session_finder.live(), components().account_search.active()
    gauges = [
        Gauge("lychgate_sessions", "Live sessions.", (), {(): live}),
        Gauge("lychgate_active_accounts", "Accounts that may sign in: seats taken.", (), {(): active}),
        Gauge("lychgate_config_rejected", REJECTED, (), {(): bool(components().reloader.state.mistakes)}),
        *_of_providers(components().health.lately()),
    ]
    return Response(_as_text(gauges), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_know() -> bool:
    """Tell whether the peer, and every client for which it forwards the request, is this machine or a trusted proxy.

    If an untrusted peer on this machine forwards a request, it is denied, because the headers of that proxy cannot be
    trusted.
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


def _of_providers(healths: Iterable[ProviderHealth]) -> Iterator[Gauge]:
    """Yield the margins. Their labels are the names of configured providers and our own fixed texts."""
    by_unit: dict[str, dict[tuple[str, ...], float]] = {"s": {}, "bytes": {}}
    refuses_at: dict[tuple[str, ...], float] = {}
    for health in healths:
        name, worst = health.provider.name, health.worst
        for report in health.limits:
            by_unit[report.limit.unit][name, report.limit.quantity] = report.room
        refuses_at[name,] = worst.trend.reaches_at if worst and worst.trend else 0
    meaning = "What was left before a rejection, in the nearest accepted sign-in of the last day."
    yield Gauge("lychgate_margin_seconds", meaning, ("provider", "margin"), by_unit["s"])
    yield Gauge("lychgate_margin_bytes", meaning, ("provider", "margin"), by_unit["bytes"])
    yield Gauge(
        "lychgate_provider_refuses_at_seconds",
        "When people will be refused if a trend goes on, in seconds since 1970; 0 if there is no such trend.",
        ("provider",),
        refuses_at,
    )


def _as_text(gauges: Sequence[Gauge]) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    rule_counts = components().rule_counts

    class Everything(Collector):
        def collect(self) -> Iterator[Metric]:
            totals = counters.totals()
            for kind, (name, meaning, labels) in FAMILIES.items():
                family = CounterMetricFamily(name, meaning, labels=labels)
                for (found, *values), total in totals.items():
                    if found == kind and (total or kind != "event"):
                        family.add_metric(values[: len(labels)], total)
                yield family
            yield from _histograms(totals)
            shadows = CounterMetricFamily(*SHADOWS, labels=("site", "rule", "difference"))
            for (site, number, what), total in rule_counts.totals().items():
                if what != DECIDED:
                    shadows.add_metric((site, str(number), what), total)
            yield shadows
            for gauge in gauges:
                measured = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
                for given, value in gauge.values.items():
                    measured.add_metric(given, value)
                yield measured

    registry = CollectorRegistry()
    registry.register(Everything())
    return generate_latest(registry)


def _histograms(totals: Mapping[tuple[str, str, str], int]) -> Iterator[HistogramMetricFamily]:
    from prometheus_client.core import HistogramMetricFamily

    for kind, (name, meaning, label) in HISTOGRAMS.items():
        family = HistogramMetricFamily(name, meaning, labels=(label,))
        for value in TIMED[kind]:
            counts = accumulate(totals[kind, value, bucket] for bucket in BUCKETS)
            family.add_metric([value], [*zip(LIMITS, counts, strict=True)], totals[kind, value, SUM] / 1e9)
        yield family
