"""Whether a job specification can be run at all: checked when it is stored, and again before it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from coreetl_driver import macros
from coreetl_driver.api import JobSpec, SinkMode
from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.compute.routing import KINDS, SIZES
from coreetl_driver.extract_specs import check_extract, chosen_extract_parameters
from coreetl_driver.job_sources import SourceTable, SourceTopic
from coreetl_driver.kafka_settings import broker_to_read
from coreetl_driver.run_dates import check_schedule, run_interval
from coreetl_driver.sources.connections import require_connection
from coreetl_driver.sql import parameters, require_query
from coreetl_driver.stream_specs import check_stream, check_topic, chosen_stream_parameters
from dcp_core.errors import InvalidSpecError, UsageError
from dcp_core.intervals import RESERVED
from dcp_core.model import Environment
from dcp_core.settings import Settings

# Names that are safe in URLs, file names and SQL.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_CATALOG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}")
_TABLE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")


def check_names(job_id: str, environment: str) -> None:
    """Refuse names that could mean something to a file system or a URL.

    Raises:
        InvalidSpecError: Never retried.
    """
    for what, name in (("job id", job_id), ("environment", environment)):
        if not _NAME.fullmatch(name) or ".." in name:
            raise InvalidSpecError(f"{what} {name!r} may hold letters, digits, '_', '-' and '.' only")


def check_catalogs(environment: str, spec: JobSpec, settings: Settings) -> None:
    """Refuse a job that writes to a catalog that is not its environment's own, or reads another playground's.

    Its topic is looked at likewise.

    The endpoint grants what the specification names; so what it may name is decided here. A catalog's properties come
    from whoever calls: they say which server is asked, which module is imported and which of the driver's environment
    variables are sent there. So they must be the driver's own, to the letter.

    Args:
        settings: The driver's own.

    Raises:
        InvalidSpecError: Never retried. It names catalogs and the names of properties, never a value.

    Source: design.md section 8.
    """
    try:
        known = Environment.named(environment)
    except UsageError as error:
        raise InvalidSpecError(error.message, hint=error.hint) from None
    if spec.sink.catalog != known.catalog:
        raise InvalidSpecError(
            f"environment {environment!r} may not write catalog {spec.sink.catalog!r}",
            hint=f"it writes {known.catalog}",
        )
    for catalog in spec.catalogs:
        if catalog not in (known.catalog, known.reads):
            raise InvalidSpecError(f"environment {environment!r} may not read catalog {catalog!r}")
    if isinstance(spec.source, SourceTopic):
        check_topic(environment, spec.source)
    for catalog, properties in spec.catalogs.items():
        own = settings.catalog_properties(catalog, resolve=False)
        differing = sorted(key for key in {*own, *properties} if own.get(key) != properties.get(key))
        if differing:
            raise InvalidSpecError(
                f"the job's properties of catalog {catalog!r} are not those of the driver: "
                f"{', '.join(repr(key) for key in differing)} differ",
                hint="[catalog] and [catalogs.NAME] of dcp.toml must say the same here and at the driver; "
                "when they have changed, apply the manifest again",
                code="coreetl.foreign_catalog",
            )


def check_connection(spec: JobSpec, settings: Settings) -> None:
    """Refuse a job whose source is a connection, or a topic of a broker, that the driver does not have.

    Raises:
        NotFoundError: Never retried; the nearest name is suggested.
        SettingsError: The connection has a setting that is none; no broker is configured.
        NotSupportedError: There is no client for the broker.
    """
    if isinstance(spec.source, SourceTopic):
        broker_to_read(settings)
    if isinstance(spec.source, SourceTable):
        require_connection(settings, spec.source.connection)


def check_spec(spec: JobSpec) -> None:
    """Refuse a specification that contradicts itself, or whose SQL or source is not what its kind wants.

    Raises:
        InvalidSpecError: Never retried.
    """
    if spec.kind not in KINDS:
        raise InvalidSpecError(
            f"job kind {spec.kind!r} is not supported by this driver", hint=f"it knows: {', '.join(KINDS)}"
        )
    for catalog in (*spec.catalogs, spec.default_catalog):
        if not _CATALOG.fullmatch(catalog):
            raise InvalidSpecError(f"catalog name {catalog!r} may hold letters, digits, '_' and '-' only")
    named = {spec.sink.catalog: "the sink", spec.default_catalog: "default_catalog"}
    named |= dict.fromkeys(spec.read_overlay, "read_overlay")
    for catalog, what in named.items():
        if catalog not in spec.catalogs:
            raise InvalidSpecError(f"{what} names catalog {catalog!r}, whose properties the job does not have")
    if not _TABLE.fullmatch(spec.sink.table):
        raise InvalidSpecError(f"the sink's table {spec.sink.table!r} is not of the form namespace.table")
    names = [column.name for column in spec.columns]
    if not names or len(set(names)) != len(names):
        raise InvalidSpecError("a job declares its output columns, each once")
    for column in spec.columns:
        parse_engine_type(column.type)  # not only manifests make jobs
    size = spec.compute.get("size")
    if size is not None and size not in SIZES:
        raise InvalidSpecError(f"there is no size {size!r}", hint=f"sizes: {', '.join(SIZES)}")
    unknown = [key for key in spec.sink.keys if key not in names]
    if unknown:
        raise InvalidSpecError(f"merge key {unknown[0]!r} is not a declared column")
    if (spec.sink.mode is SinkMode.MERGE) != bool(spec.sink.keys):
        raise InvalidSpecError("mode merge, and no other mode, has keys")
    _check_params(spec)
    if spec.kind == "extract":
        check_extract(spec)
    elif spec.kind == "stream":
        check_stream(spec)
    elif spec.source is not None:
        raise InvalidSpecError("a job of kind 'query' reads what its SQL names, and has no source")
    else:
        require_query(spec.sql, allowed_catalogs=spec.catalogs)


def _check_params(spec: JobSpec) -> None:
    for name, text in spec.params.items():
        if name in RESERVED:
            raise InvalidSpecError(f"parameter {name} says a run's interval, and cannot be one of the job's own")
        for problem in macros.check(text):
            raise InvalidSpecError(f"parameter {name}: {problem.message}", hint=problem.hint)
    if spec.schedule is not None:
        check_schedule(spec.schedule)


def chosen_parameters(spec: JobSpec, given: Mapping[str, str], now: datetime | None = None) -> dict[str, str]:
    """The value of each parameter that the SQL has: ``given`` before the specification's own, run dates filled in.

    Where a value has run dates, the run's interval is among the result. Jobs of kind ``extract`` and ``stream`` have
    parameters of their own, and take any interval.

    Args:
        given: What the caller says; ``intervals.RESERVED`` are the interval.
        now: Aware; when the run is asked for.

    Raises:
        InvalidSpecError: A parameter has no value, or a given one is not in the SQL; the interval is none. Never
            retried.
    """
    interval = run_interval(given, spec.schedule, now or datetime.now(UTC)) if set(RESERVED) & set(given) else None
    given = {name: text for name, text in given.items() if name not in RESERVED}
    if spec.kind == "extract":
        return chosen_extract_parameters(given)
    if spec.kind == "stream":
        return chosen_stream_parameters(given)
    wanted = parameters(spec.sql)
    unknown = sorted(set(given) - set(wanted) - set(spec.params))
    if unknown:
        hint = f"its parameters: {', '.join(wanted)}" if wanted else "it has no parameters"
        raise InvalidSpecError(f"the job's SQL has no parameter :{unknown[0]}", hint=hint)
    values = {**spec.params, **given}
    missing = [name for name in wanted if name not in values]
    if missing:
        raise InvalidSpecError(f"parameter :{missing[0]} of the job's SQL has no value")
    chosen = {name: str(values[name]) for name in wanted}
    if not any(map(macros.has_macros, chosen.values())):
        return chosen
    interval = interval or run_interval({}, spec.schedule, now or datetime.now(UTC))
    return {**macros.resolve_all(chosen, interval), **interval.to_params()}
