"""What a server counts and measures, as Prometheus reads it. Each server has a registry of its own.

Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import attrs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NODE_S = (*_CALL_S, 60.0, 300.0, 1800.0)
_FRESH_S = 2.0  # a look at the database; whoever asks more often is told the same

Readings = Callable[[], Mapping[str, float]]
"""What can be read at any time, by the names of ``READINGS``."""

READINGS = {
    "dcp_requests_running": "Long-running operations of all replicas that have not ended.",
    "dcp_requests_in_hand": "Long-running operations that this replica works on, or has queued.",
    "dcp_requests_waiting": "Of those in hand, the ones for which no worker is free yet.",
    "dcp_requests_taken_over": "Take-overs of the long-running operations that are kept.",
    "dcp_audit_backlog": "Audit records that are not in the audit table yet; absent when the log goes nowhere.",
}
"""Each a gauge, and what it says."""


@attrs.frozen(eq=False)
class Metrics:
    """Thread-safe.

    Args:
        readings: Asked when somebody reads the metrics.
        registry: Where they are.
    """

    readings: Readings
    registry: CollectorRegistry = attrs.field(factory=lambda: CollectorRegistry(auto_describe=True))
    _calls: Counter = attrs.field(init=False)
    _call_s: Histogram = attrs.field(init=False)
    _in_flight: Gauge = attrs.field(init=False)
    _watchers: Gauge = attrs.field(init=False)
    _node_s: Histogram = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        def put(name: str, metric: Counter | Gauge | Histogram) -> None:
            object.__setattr__(self, name, metric)

        into = self.registry
        by_call = ("handler", "transport")
        put("_calls", Counter("dcp_calls", "Calls answered.", (*by_call, "code"), registry=into))
        seconds = Histogram(
            "dcp_call_duration_seconds", "Of calls, to their answer.", by_call, buckets=_CALL_S, registry=into
        )
        put("_call_s", seconds)
        put("_in_flight", Gauge("dcp_calls_in_flight", "Calls being answered.", ("transport",), registry=into))
        put("_watchers", Gauge("dcp_watchers", "Streams of events being read.", ("transport",), registry=into))
        of_nodes = Histogram(
            "dcp_node_duration_seconds",
            "Of the nodes of graphs.",
            ("graph", "node", "outcome"),
            buckets=_NODE_S,
            registry=into,
        )
        put("_node_s", of_nodes)
        into.register(_Read(self.readings))

    @contextlib.contextmanager
    def call(self, transport: str) -> Iterator[None]:
        """A call is being answered."""
        with self._in_flight.labels(transport).track_inprogress():
            yield

    def answered(self, handler: str, transport: str, code: str, seconds: float) -> None:
        """A call was answered.

        Args:
            handler: ``Operations.Apply``.
            transport: ``grpc`` or ``http``.
            code: ``ok``, or the stable code of its error.
            seconds: How long it took.
        """
        self._calls.labels(handler, transport, code).inc()
        self._call_s.labels(handler, transport).observe(seconds)

    @contextlib.contextmanager
    def watching(self, transport: str) -> Iterator[None]:
        """Somebody reads a stream of events."""
        with self._watchers.labels(transport).track_inprogress():
            yield

    def node(self, graph: str, node: str, outcome: str, seconds: float) -> None:
        """A node of a graph has ended, ``ok`` or with the code of its error."""
        self._node_s.labels(graph, node, outcome).observe(seconds)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)


class _Read(Collector):
    """Readings, looked up at most once in ``_FRESH_S``: many may ask, and the database is others'."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._lock = threading.Lock()
        self._known: Mapping[str, float] = {}
        self._known_at = float("-inf")

    def describe(self) -> Iterator[Metric]:
        """Their names, without asking anybody."""
        for name, words in READINGS.items():
            yield GaugeMetricFamily(name, words)

    def collect(self) -> Iterator[Metric]:
        """What is known."""
        with self._lock:
            if time.monotonic() - self._known_at > _FRESH_S:
                self._known, self._known_at = self._readings(), time.monotonic()
            known = self._known
        for name, value in known.items():
            yield GaugeMetricFamily(name, READINGS[name], value=value)
