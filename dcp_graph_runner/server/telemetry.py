"""Traces of calls and of the nodes of graphs, by OpenTelemetry; without an endpoint nothing of it is imported.

A caller's ``traceparent`` is the parent of the call's span, whose own goes back with the answer; what goes on after the
answer belongs to the same trace for as long as the replica that took it works on it.

Source: https://www.w3.org/TR/trace-context/ and https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dcp_core.errors import NotSupportedError, SettingsError
from dcp_core.settings import Secret, Settings
from dcp_graph_runner.server.hiding import own_secrets, without

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SECTION = "telemetry"
TRACEPARENT = "traceparent"
_PATH = "/v1/traces"
_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACE_ID = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_FLUSH_S = 3.0
_NO_HEADERS = Secret("")


@attrs.frozen
class TelemetrySettings:
    """Section ``[telemetry]``; the variables ``OTEL_…`` count where it says nothing.

    Args:
        endpoint: Base address of an OTLP/HTTP collector, ``http://127.0.0.1:4318``; "" for none.
        headers: What it wants to be sent along, ``name=value,name=value``.
        service_name: How the server names itself.
        sample_ratio: The share of traces that begin here and are recorded, 0 to 1; a caller has decided for its own.
    """

    endpoint: str = ""
    headers: Secret = attrs.field(default=_NO_HEADERS, metadata={"secret": True})
    service_name: str = "dcp-graph-runner"
    sample_ratio: float = 1.0


class Span(Protocol):
    """What callers of ``Telemetry.span`` get."""

    @property
    def trace_id(self) -> str:
        """32 hex digits; "" without a trace."""

    def tell(self, **attributes: str | int | float | bool) -> None:
        """What is known of it, by names with ``_`` for the dots."""

    def fail(self, code: str, message: str) -> None:
        """It ended with an error."""

    def traceparent(self) -> str | None:
        """For whoever goes on from here."""


@attrs.frozen
class _NoSpan:
    trace_id: str = ""

    def tell(self, **attributes: str | int | float | bool) -> None:
        """Nobody listens."""

    def fail(self, code: str, message: str) -> None:
        """Nobody listens."""

    def traceparent(self) -> None:
        """There is none."""


class Telemetry:
    """Untraced: the trace of a caller is still named in logs."""

    @contextlib.contextmanager
    def span(self, name: str, headers: Mapping[str, str] | None = None) -> Iterator[Span]:
        """Something that takes time.

        Args:
            name: ``Operations.Apply``.
            headers: Of a call: it continues the caller's trace. None: it belongs to the span around it.
        """
        found = _TRACE_ID.fullmatch((headers or {}).get(TRACEPARENT, ""))
        yield _NoSpan(found.group(1) if found else "")

    def close(self) -> None:
        """Send what has not been sent yet, for a few seconds at most."""


class Tracing(Telemetry):
    """Spans go to a collector, in batches from a thread; when it is away, they are lost and nothing waits.

    Args:
        provider: Made by ``telemetry``.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("dcp", version("dcp-graph-runner"))
        self._propagator = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def span(self, name: str, headers: Mapping[str, str] | None = None) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind

        context = None if headers is None else self._propagator.extract({TRACEPARENT: headers.get(TRACEPARENT, "")})
        kind = SpanKind.INTERNAL if headers is None else SpanKind.SERVER
        with self._tracer.start_as_current_span(
            name, context, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Recorded(span)

    def close(self) -> None:
        # A collector that is away is tried for longer than anybody would wait.
        closing = threading.Thread(target=self._provider.shutdown, name="dcp-spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_S)


@attrs.frozen
class _Recorded:
    span: Any

    @property
    def trace_id(self) -> str:
        return format(self.span.get_span_context().trace_id, "032x")

    def tell(self, **attributes: str | int | float | bool) -> None:
        for name, value in attributes.items():
            self.span.set_attribute(name.replace("_", ".", 1), value)

    def fail(self, code: str, message: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.span.set_attribute("error.type", code)
        self.span.set_status(Status(StatusCode.ERROR, without(message, own_secrets())))

    def traceparent(self) -> str | None:
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def telemetry(settings: Settings) -> Telemetry:
    """As the settings, or the variables of OpenTelemetry, say.

    Raises:
        SettingsError: A value is wrong.
        NotSupportedError: There is an endpoint, and OpenTelemetry is not installed.
    """
    section = settings.section(SECTION, TelemetrySettings)
    if not 0 <= section.sample_ratio <= 1:
        raise SettingsError(f"[{SECTION}] sample_ratio is {section.sample_ratio:g}, expected 0 to 1")
    if section.endpoint and not section.endpoint.startswith(("http://", "https://")):
        raise SettingsError(f"[{SECTION}] endpoint is no address of OTLP over HTTP", hint="http://127.0.0.1:4318")
    is_off = settings.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_off or not (section.endpoint or any(settings.environ.get(each) for each in _VARIABLES)):
        return Telemetry()
    try:
        return Tracing(_provider(section))
    except ModuleNotFoundError as error:
        raise NotSupportedError(
            f"spans cannot be sent: there is no module {error.name}", hint="pip install 'dcp-graph-runner[server]'"
        ) from None


def _provider(section: TelemetrySettings) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    address = section.endpoint.rstrip("/")
    endpoint = (address if address.endswith(_PATH) else address + _PATH) if address else None
    pairs = (each.partition("=") for each in section.headers.reveal().split(",") if "=" in each)
    headers = {name.strip(): value.strip() for name, _, value in pairs} or None
    resource = Resource.create({SERVICE_NAME: section.service_name, SERVICE_VERSION: version("dcp-graph-runner")})
    provider = TracerProvider(
        resource=resource, sampler=ParentBased(TraceIdRatioBased(section.sample_ratio)), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, headers=headers)))
    return provider
