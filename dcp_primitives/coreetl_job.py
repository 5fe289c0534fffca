"""The ``coreetl_job`` primitive: jobs of the CoreETL driver, in process or a service.

The state of a job is what it runs and where it writes. Of the catalogs it reaches, plans and journals hold a digest
only, since a careless ``dcp.toml`` may have a credential among the properties.

Source: design.md sections 6, 10 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import Factory, asdict, evolve, field, frozen

from coreetl_driver import CoreetlSettings, api
from coreetl_driver.column_types import parse_type
from coreetl_driver.job_sources import SourceTable, SourceTopic, source_to_json
from coreetl_driver.user_tokens import How, run_with_tokens, stop_with_tokens
from dcp_core import documents, planning
from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.digests import digest_of as json_digest
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError, NotSupportedError
from dcp_core.interfaces import Primitive
from dcp_core.intervals import Interval
from dcp_core.model import (
    Environment,
    FieldChange,
    LogicalPlan,
    Owner,
    Resource,
    ResourceKey,
    State,
)
from dcp_core.planning import owner_of
from dcp_core.records import Execution
from dcp_primitives import job_backends, job_executions, job_intervals
from dcp_primitives.iceberg import abilities
from dcp_primitives.job_driver import driver_of, was_never_used

KIND = "coreetl_job"
MANIFEST = "dcp.manifest"
ENVIRONMENT = "dcp.environment"
SINK = "dcp.sink"
_EMPTY: tuple[JsonValue, ...] = (None, "", [], {})


def _columns(columns: Iterable[api.Column]) -> tuple[api.Column, ...]:
    return tuple(columns)


@frozen
class CoreetlJob:
    """A job that writes rows to a table of the environment's own catalog: those of a query, or of a source.

    Args:
        job_id: Scoped to the environment: ``Environment.scoped("daily_orders_job")``.
        sql: Exactly one query, Spark SQL; empty for a job that is no query.
        columns: The declared output, in the table's order.
        table: The sink, ``namespace.name``.
        mode: How rows reach it.
        keys: The columns that identify a row; ``merge`` needs them.
        read_overlay: Whether reads prefer the playground's own copy of a table where there is one.
        params: Values for ``:name`` in the SQL; they may have run dates in them, ``{{ ds }}``.
        compute: Resources and options for the backend.
        sink_uri: What people call the sink, ``iceberg://daily_orders``; a label only.
        kind: ``query``, or ``extract``; any other can be planned, and it is the driver that refuses what it cannot do.
        source: Where the rows of a job come from that is no query; it names a connection and holds no secret.
        schedule: When it usually runs, for the dates of a run whose caller says none; None when it has no dates.
    """

    job_id: str
    sql: str
    columns: tuple[api.Column, ...] = field(converter=_columns)
    table: str
    mode: api.SinkMode
    keys: tuple[str, ...] = ()
    read_overlay: bool = False
    params: Mapping[str, str] = Factory(dict)
    compute: Mapping[str, Any] = Factory(dict)
    sink_uri: str = ""
    kind: str = "query"
    source: SourceTable | SourceTopic | None = None
    schedule: str | None = None

    def resource(
        self,
        logical_plan: LogicalPlan,
        *,
        depends_on: Iterable[ResourceKey] = (),
        reads: Iterable[str] = (),
        path: tuple[str | int, ...] | None = None,
    ) -> Resource:
        """The resource that ``logical_plan`` wants: ``run`` starts it, ``apply`` stops it while it changes."""
        return Resource(
            kind=KIND,
            name=self.job_id,
            manifest_id=logical_plan.id,
            environment=logical_plan.environment,
            spec=documents.to_json(self),
            depends_on=tuple(depends_on),
            reads=tuple(reads),
            runnable=True,
            path=path,
        )


class CoreetlJobPrimitive(Primitive):
    """Manages jobs; ``Resource.name`` is the job's id."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """The job specification, with digests in place of catalog properties.

        ``info["backend"]`` is where the job will run, None where the driver's service decides;
        ``info["backend_reason"]`` says why. The actual state has both too. Where this machine's settings decide and no
        run could be submitted by them, a plan refuses the job.

        Raises:
            InvalidSpecError: The spec contradicts itself.
            SettingsError: A catalog is not configured.
        """
        spec = _job_spec(resource, ctx)
        return State(
            _values(spec, _job(resource).sink_uri),
            owner_of(resource),
            info={
                **job_backends.facts(resource.environment, spec, ctx),
                **job_backends.refusals(resource.environment, spec, ctx),
                **abilities.facts_of_rows(ctx),
            },
        )

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        """Of a driver that is a service, ``info`` has its own answer where the job would run now, and why.

        Raises:
            TransientError: The driver cannot be reached.
        """
        state = self.get_actual_states((resource,), ctx)[resource.key]
        if state is None or not ctx.settings.section("coreetl", CoreetlSettings).url:
            return state
        try:
            choice = driver_of(ctx).explain_run(resource.name, resource.environment)
        except NotFoundError:  # somebody has deleted it meanwhile
            return None
        except NotSupportedError:  # an older service, which does not tell
            return state
        return evolve(state, info={"backend": choice.backend, "backend_reason": choice.reason})

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """One call for each environment among them (in practice one). Where a service sends them is not asked.

        Raises:
            TransientError: The driver cannot be reached.
        """
        states: dict[ResourceKey, State | None] = {resource.key: None for resource in resources}
        if was_never_used(ctx):
            return states
        for environment in {resource.environment for resource in resources}:
            names = [resource.name for resource in resources if resource.environment == environment]
            for job in driver_of(ctx).list_jobs(environment, names):
                info = job_backends.facts(environment, job.spec, ctx)
                states[ResourceKey(KIND, job.job_id)] = evolve(_state(job), info=info)
        return states

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """Field by field, columns by name; nothing of it loses data. Refused where no run could write its rows."""
        if desired is None:
            return ()
        changes = tuple(_changes(desired.values, actual.values if actual else {}))
        return abilities.checked(abilities.UPDATE, desired, changes) + job_backends.refused(desired)

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """Register the job; the same job again is fine.

        Raises:
            ConflictError: A different job has this id.
            InvalidSpecError: The SQL is not one plain query.
            TransientError: The driver cannot be reached.
        """
        spec, labels = _job_spec(resource, ctx), _labels(resource)
        driver_of(ctx).create_job(resource.name, resource.environment, resource.name, spec, labels)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """Register the next version, with the marks; labels of other people stay.

        Raises:
            ConflictError: The job is not as ``actual`` says any more, or is gone.
            InvalidSpecError: The SQL is not one plain query.
            TransientError: The driver cannot be reached.
        """
        driver = driver_of(ctx)
        try:
            job = driver.get_job(resource.name, resource.environment)
        except NotFoundError:
            raise ConflictError(f"job {resource.name} is gone", hint="plan again") from None
        current = _state(job)
        if current.digest == desired.digest:
            return  # a step repeated after a crash
        if current.digest != actual.digest:
            raise ConflictError(f"job {resource.name} was changed by somebody else meanwhile", hint="plan again")
        labels = {**job.labels, **_labels(resource)}
        spec = _job_spec(resource, ctx)
        driver.update_job(resource.name, resource.environment, spec, labels, expected_version=job.version)

    def delete(self, resource: Resource, ctx: Context) -> None:
        """Stop what runs of the job, then remove it; its executions stay readable.

        Raises:
            ConflictError: It carries the mark of somebody else.
            TransientError: The driver cannot be reached.
        """
        if was_never_used(ctx):
            return
        driver = driver_of(ctx)
        for job in driver.list_jobs(resource.environment, [resource.name]):
            owner = _state(job).owner
            if owner is not None and owner != owner_of(resource):
                raise ConflictError(
                    f"job {resource.name} belongs to {owner.manifest_id} in {owner.environment}; it is not deleted"
                )
            stop_with_tokens(driver, ctx.credentials, resource.name, resource.environment, ctx.user)
            driver.delete_job(resource.name, resource.environment)

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        """Start an execution and return at once; the same key again gives the same one.

        Raises:
            NotFoundError: The job was never applied.
            UnauthorizedError: The job runs where the user's token is needed, and ``ctx.credentials`` has none.
            TransientError: The driver cannot be reached.
        """
        how: How = {"params": params, "idempotency_key": idempotency_key, "user": ctx.user}
        execution = run_with_tokens(driver_of(ctx), ctx.credentials, resource.name, resource.environment, **how)
        begun = job_executions.execution_of(resource, execution)
        _dead_letters(ctx).started(resource, begun)
        return begun

    def stop(self, resource: Resource, ctx: Context) -> tuple[Execution, ...]:
        """Stop all that runs of the job and wait for it; the table is as before or as after, never between."""
        if was_never_used(ctx):
            return ()
        stopped = stop_with_tokens(driver_of(ctx), ctx.credentials, resource.name, resource.environment, ctx.user)
        return tuple(job_executions.execution_of(resource, execution) for execution in stopped)

    def get_intervals(self, resource: Resource, start: datetime, end: datetime, ctx: Context) -> tuple[Interval, ...]:
        """Of its schedule, whole days where it has none; () when no parameter has dates of the run.

        Raises:
            InvalidSpecError: There are more than a thousand.
        """
        return job_intervals.intervals(_job(resource).params, _job(resource).schedule, start, end)

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        """One execution, or the one that runs now; None when there is none."""
        if was_never_used(ctx):
            return None
        if execution_id is None:
            return job_executions.running(resource, driver_of(ctx))
        driver = driver_of(ctx)
        try:
            found = job_executions.with_params(resource, driver.get_execution(execution_id))
        except NotFoundError:
            return None
        _dead_letters(ctx).tell(resource, found, driver, ctx)
        return found

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        """Those that a DAG or anybody else has started too; of the newest thousand.

        Raises:
            NotFoundError: ``before`` is not among them.
            TransientError: The driver cannot be reached.
        """
        return () if was_never_used(ctx) else job_executions.listed(resource, limit, before, driver_of(ctx))

    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        """Of all its attempts; the newest mebibyte of each.

        Raises:
            NotFoundError: The job has no such execution.
            TransientError: The driver cannot be reached.
        """
        if was_never_used(ctx):
            raise NotFoundError(f"{resource.name} has no execution {execution_id}")
        return job_executions.logs(resource, execution_id, driver_of(ctx))


def _dead_letters(ctx: Context) -> job_executions.DeadLetters:
    return ctx.shared("coreetl.dead_letters", job_executions.DeadLetters)


def _job(resource: Resource) -> CoreetlJob:
    return documents.spec_of(resource, CoreetlJob)


def _job_spec(resource: Resource, ctx: Context) -> api.JobSpec:
    """What the driver registers: the catalogs with references to secrets, never secrets."""
    job = _job(resource)
    environment = Environment.named(resource.environment, overlay=job.read_overlay)
    names = dict.fromkeys((environment.reads, environment.catalog))
    if job.mode is api.SinkMode.MERGE and not job.keys:
        raise InvalidSpecError("merging needs the keys that identify a row", where=resource.name)
    return api.JobSpec(
        sql=job.sql,
        columns=tuple(evolve(column, type=_canonical(column.type), doc=column.doc or None) for column in job.columns),
        sink=api.Sink(environment.catalog, job.table, job.mode, job.keys),
        catalogs={name: ctx.settings.catalog_properties(name, resolve=False) for name in names},
        default_catalog=environment.reads,
        read_overlay=(environment.catalog,) if environment.overlay and not environment.is_production else (),
        params=job.params,
        compute=job.compute,
        kind=job.kind,
        source=job.source,
        schedule=job.schedule,
    )


def _canonical(text: str) -> str:
    return str(parse_type(text))


def _values(spec: api.JobSpec, sink_uri: str) -> dict[str, JsonValue]:
    # A job without them says nothing of them: what was applied before there were any stays as it is.
    source = {} if spec.source is None else {"source": source_to_json(spec.source)}
    schedule = {} if spec.schedule is None else {"schedule": spec.schedule}
    return {
        "sql": spec.sql,
        "columns": [asdict(column) for column in spec.columns],
        "table": spec.sink.table,
        "mode": spec.sink.mode.value,
        "keys": list(spec.sink.keys),
        "params": dict(spec.params),
        "compute": dict(spec.compute),
        "kind": spec.kind,
        "catalog": spec.sink.catalog,
        "default_catalog": spec.default_catalog,
        "read_overlay": list(spec.read_overlay),
        "catalogs": {name: json_digest(properties) for name, properties in sorted(spec.catalogs.items())},
        "sink_uri": sink_uri,
        **source,
        **schedule,
    }


def _state(job: api.Job) -> State:
    owner = None
    if MANIFEST in job.labels:
        owner = Owner(job.labels[MANIFEST], job.labels.get(ENVIRONMENT, ""))
    return State(_values(job.spec, job.labels.get(SINK, "")), owner, revision=str(job.version))


def _labels(resource: Resource) -> dict[str, str]:
    return {
        MANIFEST: resource.manifest_id,
        ENVIRONMENT: resource.environment,
        SINK: _job(resource).sink_uri,
    }


def _changes(desired: Mapping[str, JsonValue], actual: Mapping[str, JsonValue]) -> Iterator[FieldChange]:
    """Columns one by one, everything else as the core compares it; what is empty on both sides stays unsaid."""
    for change in planning.compare_values(_by_name(desired), _by_name(actual)):
        if change.actual not in _EMPTY or change.desired not in _EMPTY:
            yield change
    before = [each["name"] for each in actual.get("columns", ())]
    after = [each["name"] for each in desired["columns"]]
    if sorted(before) == sorted(after) and before != after:
        yield FieldChange("columns", before, after)


def _by_name(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    named = {**values, "columns": {each["name"]: _column_text(each) for each in values.get("columns", ())}}
    source = values.get("source")
    if isinstance(source, Mapping) and "columns" in source:  # a topic has none
        named["source"] = {**source, "columns": {each["name"]: each["source"] for each in source["columns"]}}
    return named


def _column_text(column: Mapping[str, Any]) -> str:
    text = column["type"] + (" required" if column["required"] else "")
    return f"{text} -- {column['doc']}" if column["doc"] else text
