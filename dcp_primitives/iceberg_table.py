"""The ``iceberg_table`` primitive: tables of an environment's own Iceberg catalog, through pyiceberg.

One commit makes one update: columns, partitioning, sort order and properties together, or nothing. Rows written by
anybody meanwhile stay. What each change does to the data is in ``iceberg.comparing``.

Source: design.md sections 6 and 11.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from coreetl_driver.catalog_abilities import (
    CHANGE_TABLE,
    CREATE_NAMESPACE,
    CREATE_TABLE,
    DROP_TABLE,
    offers,
    refusal,
    require,
)
from dcp_core.context import Context
from dcp_core.errors import ConflictError, DestructiveError, InvalidSpecError, PermanentError, TransientError
from dcp_core.interfaces import Primitive
from dcp_core.model import Effect, FieldChange, Resource, ResourceKey, State
from dcp_core.planning import owner_of
from dcp_core.records import Preview
from dcp_primitives.iceberg import abilities, dropping, grants, lost
from dcp_primitives.iceberg import catalog as catalogs
from dcp_primitives.iceberg.comparing import CORRUPTS, compare_tables, creation, deletion, renames_of
from dcp_primitives.iceberg.metadata import state_of
from dcp_primitives.iceberg.snippets import TableAddress, snippets
from dcp_primitives.iceberg.spec import (
    KIND,
    IcebergTable,
    PartitionField,
    SortField,
    TableColumn,
    table_of,
    values_of,
)

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergTable", "IcebergTablePrimitive", "PartitionField", "SortField", "TableColumn"]

_READERS = 8


class IcebergTablePrimitive(Primitive):
    """Manages Iceberg tables; ``Resource.name`` is ``namespace.name`` in the environment's own catalog."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """The canonical values of the spec, marked, and what the catalog cannot do.

        Raises:
            InvalidSpecError: The spec contradicts itself, or Iceberg cannot have it.
            TransientError: A REST catalog cannot be reached.
        """
        return State(
            values_of(table_of(resource)),
            owner_of(resource),
            info={**abilities.facts(ctx), **grants.facts(resource, ctx)},
        )

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return self.get_actual_states((resource,), ctx)[resource.key]

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """One query for a SQL catalog, then the metadata of the tables that exist.

        Raises:
            TransientError: The catalog cannot be reached.
        """
        from concurrent.futures import ThreadPoolExecutor

        properties = ctx.settings.catalog_properties(ctx.environment.catalog)
        if not catalogs.exists(properties):
            return {resource.key: None for resource in resources}
        index = catalogs.read_index(ctx.environment.catalog, properties)
        if index is None:
            catalogs.connect(ctx)  # once, not once in each thread

        def read(resource: Resource) -> State | None:
            state = _load_state(resource, ctx) if index is None else _indexed_state(resource, index, ctx)
            return grants.with_actual(resource, state, ctx)

        if len(resources) == 1:
            found = [read(resources[0])]
        else:
            with ThreadPoolExecutor(_READERS, "iceberg-read") as pool:
                found = list(pool.map(read, resources))
        facts = abilities.facts(ctx)
        states = [
            evolve(state, info={**state.info, **facts}) if state is not None and facts else state for state in found
        ]
        return dict(zip((each.key for each in resources), states, strict=True))

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        """Where each table's metadata lies, which every commit moves; None unless the catalog is a SQL one."""
        properties = ctx.settings.catalog_properties(ctx.environment.catalog)
        index = catalogs.read_index(ctx.environment.catalog, properties)
        if index is None:
            return None
        return {resource.key: index[resource.name] for resource in resources if resource.name in index}

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """See ``iceberg.comparing`` for what is an update, destructive or refused; a catalog may refuse more."""
        if actual is None:
            if desired is None:
                return ()
            return abilities.checked(abilities.CREATE, desired, creation(desired)) + grants.changes(desired, None)
        if lost.is_lost(actual):
            return lost.changes(resource.name, desired, actual)
        if desired is None:
            return abilities.checked(abilities.DELETE, actual, deletion(resource.name, actual))
        changes = compare_tables(table_of(resource).columns, desired, actual)
        return abilities.checked(abilities.UPDATE, desired, changes) + grants.changes(desired, actual)

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """Create the table, and its namespace where that is missing.

        Raises:
            ConflictError: Somebody else created it meanwhile.
            NotOfferedError: The catalog cannot create tables, or the namespace that is missing.
            TransientError: The catalog cannot be reached.
        """
        from pyiceberg.exceptions import NoSuchNamespaceError, TableAlreadyExistsError

        from dcp_primitives.iceberg.evolving import new_table

        catalog = catalogs.connect(ctx)
        require(catalog, CREATE_TABLE)
        catalogs.prepare(catalog)
        wanted = new_table(desired.values, owner_of(resource))
        with catalogs.reaching(catalog.name):
            _ensure_namespace(catalog, resource)
            try:
                catalog.create_table(
                    resource.name,
                    wanted.schema,
                    location=_fresh_location(catalog, resource, ctx),
                    partition_spec=wanted.spec,
                    sort_order=wanted.order,
                    properties=wanted.properties,
                )
            except TableAlreadyExistsError:
                table = _load(catalog, resource)
                if table is None or _state(table, resource).digest != grants.without(desired).digest:
                    raise ConflictError(
                        f"table {resource.name} was created by somebody else meanwhile", hint="plan again"
                    ) from None
            except NoSuchNamespaceError:
                raise TransientError(f"the namespace of {resource.name} was dropped meanwhile") from None
        ctx.log.info("created table %s in catalog %s", resource.name, catalog.name)
        grants.make(resource, desired, None, ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """Make all changes in one commit, marks included; then those of grants, which the catalog keeps elsewhere.

        Raises:
            ConflictError: The table is not as ``actual`` says any more, or is gone.
            DestructiveError: A change would corrupt what other engines read; whatever the plan allowed.
            InvalidSpecError: Iceberg cannot make a change.
            NotOfferedError: The catalog cannot change tables.
            TransientError: The catalog cannot be reached, or others commit all the time.
        """
        catalog = catalogs.connect(ctx)
        wanted, there = grants.without(desired), grants.without(actual)
        if wanted.digest != there.digest:
            require(catalog, CHANGE_TABLE)
            catalogs.committed(catalog, lambda: _update(catalog, resource, wanted, there))
            ctx.log.info("updated table %s in catalog %s", resource.name, catalog.name)
        grants.make(resource, desired, actual, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        """Drop the table from the catalog; its files stay and a record says where (``iceberg.dropping``).

        Raises:
            ConflictError: It carries the mark of somebody else.
            NotOfferedError: The catalog cannot drop tables.
            TransientError: The catalog cannot be reached.
        """
        if not catalogs.exists(ctx.settings.catalog_properties(ctx.environment.catalog)):
            return
        catalog = catalogs.connect(ctx)
        try:
            table = _load(catalog, resource)
        except catalogs.MetadataLostError:
            # Nobody's mark can be read any more. The inventory, without which nothing is deleted, says it was ours.
            properties = ctx.settings.catalog_properties(catalog.name)
            location = (catalogs.read_index(catalog.name, properties) or {}).get(resource.name)
            if location:
                dropping.record(resource, location, lost.folder(location), ctx)
            _drop(catalog, resource, ctx)
            ctx.log.warning("took table %s out of catalog %s; its metadata was gone", resource.name, catalog.name)
            table = None
        if table is not None:
            owner = _state(table, resource).owner
            if owner is not None and owner != owner_of(resource):
                raise ConflictError(
                    f"table {resource.name} belongs to {owner.manifest_id} in {owner.environment}; it is not dropped"
                )
            require(catalog, DROP_TABLE)
            kept = dropping.record(resource, table.metadata_location, table.location(), ctx)
            _drop(catalog, resource, ctx)
            ctx.log.info("dropped table %s; it can be restored from %s", resource.name, kept)
        if not ctx.environment.is_production:
            _drop_empty_namespace(catalog, resource)

    def preview(self, resource: Resource, limit: int, ctx: Context) -> Preview | None:
        """The first rows, without any engine, and how other tools read the table; None when there is no table.

        Raises:
            TransientError: The catalog cannot be reached.
        """
        name = ctx.environment.catalog
        if not catalogs.exists(ctx.settings.catalog_properties(name)):
            return None
        table = _load(catalogs.connect(ctx), resource)
        if table is None:
            return None
        with catalogs.reaching(name):
            try:
                found = table.scan(limit=limit).to_arrow()
            except FileNotFoundError as error:
                raise PermanentError(
                    f"a file of table {resource.name} is gone: {error}",
                    hint="it was deleted outside the catalog; a run that overwrites the table writes it anew",
                    code="iceberg.files_lost",
                ) from None
            except (ConnectionError, TimeoutError):
                raise  # told from the rest by ``reaching``
            except OSError as error:
                raise PermanentError(
                    f"the files of table {resource.name} cannot be read: {str(error).splitlines()[0]}",
                    hint="the storage's credentials are properties of [catalog], or vended by the catalog",
                    code="iceberg.storage",
                ) from None
        columns = tuple(found.column_names)
        address = TableAddress(
            name,
            resource.name,
            ctx.settings.catalog_properties(name, resolve=False),
            table.location(),
            table.metadata_location,
            limit,
        )
        rows = tuple(tuple(row[column] for column in columns) for row in found.to_pylist())
        return Preview(columns, rows, _state(table, resource).info["rows"], snippets(address))


def _update(catalog: Catalog, resource: Resource, desired: State, actual: State) -> None:
    from dcp_primitives.iceberg.evolving import evolution

    table = _load(catalog, resource)
    if table is None:
        raise ConflictError(f"table {resource.name} is gone", hint="plan again")
    current = _state(table, resource)
    if current.digest == desired.digest:
        return  # a step repeated after a crash
    if current.digest != actual.digest:
        raise ConflictError(f"table {resource.name} was changed by somebody else meanwhile", hint="plan again")
    columns = table_of(resource).columns
    _refuse(resource, compare_tables(columns, desired, current))
    requirements, updates = evolution(
        table.metadata,
        desired.values,
        renames_of(columns, current.values),
        owner_of(resource),
        [name for name in current.values["properties"] if name not in desired.values["properties"]],
    )
    catalog.commit_table(table, requirements, updates)


def _refuse(resource: Resource, changes: Sequence[FieldChange]) -> None:
    """The last line before the catalog, for callers that did not ask a plan."""
    for change in changes:
        if change.effect is Effect.REFUSED:
            kind = DestructiveError if CORRUPTS in (change.why or "") else InvalidSpecError
            raise kind(change.why or change.field, where=f"{resource.name}: {change.field}")


def _load(catalog: Catalog, resource: Resource) -> Table | None:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    with catalogs.reaching(catalog.name):
        try:
            return catalog.load_table(resource.name)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except FileNotFoundError as error:
            # Arrow's error has the path in its text alone, among words of its own.
            index = catalogs.read_index(catalog.name, catalog.properties) or {}
            raise catalogs.MetadataLostError(index.get(resource.name) or str(error), resource.name) from None


def _drop(catalog: Catalog, resource: Resource, ctx: Context) -> None:
    from pyiceberg.exceptions import NoSuchTableError

    with catalogs.reaching(catalog.name):
        try:
            catalog.drop_table(resource.name)
        except NoSuchTableError:
            ctx.log.info("table %s was dropped by somebody else meanwhile", resource.name)


def _indexed_state(resource: Resource, index: Mapping[str, str], ctx: Context) -> State | None:
    """The state of a table of a SQL catalog, whose row may be older than the table: a file that is gone is looked up
    again, since a commit deletes old metadata where the table is set up so, and a drop may delete all of it.
    """
    location = index.get(resource.name)
    while location is not None:
        try:
            document = catalogs.read_metadata(location)
            if document is None:
                return _load_state(resource, ctx)
            return state_of(document, _properties_wanted(resource), location)
        except catalogs.MetadataLostError:
            name = ctx.environment.catalog
            now = (catalogs.read_index(name, ctx.settings.catalog_properties(name)) or {}).get(resource.name)
            if now == location:
                return lost.state(resource, location)
            location = now
    return None


def _load_state(resource: Resource, ctx: Context) -> State | None:
    try:
        table = _load(catalogs.connect(ctx), resource)
    except catalogs.MetadataLostError as error:
        return lost.state(resource, error.location)
    return _state(table, resource) if table is not None else None


def _state(table: Table, resource: Resource) -> State:
    # The same reading as from the file, so that a plan and the update after it agree to the digit.
    document = table.metadata.model_dump(mode="json", by_alias=True)
    return state_of(document, _properties_wanted(resource), table.metadata_location)


def _properties_wanted(resource: Resource) -> tuple[str, ...]:
    return tuple(table_of(resource).properties)


def _namespace(resource: Resource) -> tuple[str, ...]:
    return tuple(resource.name.split(".")[:-1])


def _fresh_location(catalog: Catalog, resource: Resource, ctx: Context) -> str | None:
    """None for the catalog's own choice; a folder beside it when that still holds a dropped table's files.

    A catalog that is a service chooses by itself. The record only says that there is one: where it points to is not
    followed, since the project may have moved.
    """
    warehouse = catalog.properties.get("warehouse")
    if not warehouse or not catalogs.is_sql(catalog.properties) or not dropping.dropped(resource.name, ctx):
        return None
    namespace, _, name = resource.name.rpartition(".")
    return f"{warehouse.rstrip('/')}/{namespace}/{name}-{uuid.uuid4().hex[:8]}"


def _ensure_namespace(catalog: Catalog, resource: Resource) -> None:
    if not offers(catalog, CREATE_NAMESPACE):
        if not catalog.namespace_exists(_namespace(resource)):
            raise refusal(catalog.name, CREATE_NAMESPACE)
        return
    try:
        catalog.create_namespace_if_not_exists(_namespace(resource))
    except Exception:
        # A SQL catalog fails with its database's own error when another table brings the namespace at the same time.
        if not catalog.namespace_exists(_namespace(resource)):
            raise


def _drop_empty_namespace(catalog: Catalog, resource: Resource) -> None:
    from pyiceberg.exceptions import NamespaceNotEmptyError, NoSuchNamespaceError

    with catalogs.reaching(catalog.name):
        try:
            catalog.drop_namespace(_namespace(resource))
        except (NamespaceNotEmptyError, NoSuchNamespaceError, NotImplementedError):
            return  # not every catalog offers it
