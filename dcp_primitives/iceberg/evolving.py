"""From wanted values to pyiceberg's schema, spec and sort order, and from one state to the next in one commit.

The next schema is computed whole instead of through pyiceberg's schema builder: columns keep their field ids as
``types.match_names`` says, so nested renames, order, documentation taken away and a name given to a new column all
come out of one rule. ``compare`` uses the same rule.

Imports pyiceberg: call it only to change something.

Source: Iceberg table specification, "Schema Evolution" and "Partition Evolution".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from dcp_core.digests import JsonValue
from dcp_core.model import Owner
from dcp_primitives.iceberg.metadata import COMMENT, marks
from dcp_primitives.iceberg.spec import identifies
from dcp_primitives.iceberg.types import Tree, decimal_of, keeps_its_data, match_names, tree_of_iceberg

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.sorting import SortOrder
    from pyiceberg.table.update import TableRequirement, TableUpdate
    from pyiceberg.types import IcebergType, NestedField, PrimitiveType, StructType

NextId = Callable[[], int]

DEFAULT_PROPERTIES = {"format-version": "2", "write.parquet.compression-codec": "zstd"}
"""Given to a new table; not managed afterwards, so that whoever tunes a table is not undone."""


@frozen
class NewTable:
    """What ``create_table`` takes."""

    schema: Schema
    spec: PartitionSpec
    order: SortOrder
    properties: dict[str, str]


def new_table(values: Mapping[str, JsonValue], owner: Owner) -> NewTable:
    """A table that does not exist yet, as pyiceberg wants it described."""
    from pyiceberg.schema import Schema

    counter = itertools.count(1)
    fields = [_new_field(column, lambda: next(counter)) for column in values["columns"]]
    schema = _identified(Schema(*fields), values)
    properties = {**DEFAULT_PROPERTIES, **values["properties"], **marks(values, owner)}
    if values["doc"]:
        properties[COMMENT] = values["doc"]
    partition_ids = itertools.count(1000)
    return NewTable(
        schema,
        _spec(values, schema, (), lambda: next(partition_ids), spec_id=0),
        _order(values, schema, order_id=1),
        properties,
    )


def evolution(
    metadata: TableMetadata,
    values: Mapping[str, JsonValue],
    matched: Mapping[str, str | None],
    owner: Owner,
    unmanaged: Sequence[str],
) -> tuple[tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
    """Everything that makes the table of ``metadata`` into ``values``, for one commit.

    Args:
        metadata: As just loaded.
        values: Of the desired state.
        matched: Which existing column each wanted one continues (``comparing.renames_of``).
        owner: The mark to leave.
        unmanaged: Names of properties that were managed and are to go.

    The requirements let a commit of data happen in between, and nothing else.
    """
    from pyiceberg.table import update

    requirements: list[TableRequirement] = [
        update.AssertTableUUID(uuid=metadata.table_uuid),
        update.AssertCurrentSchemaId.model_validate({"current-schema-id": metadata.current_schema_id}),
        update.AssertLastAssignedFieldId.model_validate({"last-assigned-field-id": metadata.last_column_id}),
        update.AssertDefaultSpecId.model_validate({"default-spec-id": metadata.default_spec_id}),
        update.AssertDefaultSortOrderId.model_validate({"default-sort-order-id": metadata.default_sort_order_id}),
    ]
    if metadata.last_partition_id is not None:
        last = {"last-assigned-partition-id": metadata.last_partition_id}
        requirements.append(update.AssertLastAssignedPartitionId.model_validate(last))
    schema = evolved_schema(metadata, values, matched)
    updates = [
        *_schema_updates(metadata, schema),
        *_spec_updates(metadata, values, schema),
        *_order_updates(metadata, values, schema),
    ]
    set_properties = {**values["properties"], **marks(values, owner)}
    if values["doc"]:
        set_properties[COMMENT] = values["doc"]
    mapping = _name_mapping(metadata, schema)
    if mapping is not None:
        set_properties["schema.name-mapping.default"] = mapping
    new = {name: text for name, text in set_properties.items() if metadata.properties.get(name) != text}
    if new:
        updates.append(update.SetPropertiesUpdate(updates=new))
    gone = [name for name in unmanaged if name in metadata.properties]
    if not values["doc"] and COMMENT in metadata.properties:
        gone.append(COMMENT)
    if gone:
        updates.append(update.RemovePropertiesUpdate(removals=gone))
    return tuple(requirements), tuple(updates)


def evolved_schema(
    metadata: TableMetadata, values: Mapping[str, JsonValue], matched: Mapping[str, str | None]
) -> Schema:
    """The next schema: every column that continues keeps its field id, every other has a new one."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    counter = itertools.count(metadata.last_column_id + 1)

    def next_id() -> int:
        return next(counter)

    existing = {field.name: field for field in metadata.schema().fields}
    fields: list[NestedField] = []
    for column in values["columns"]:
        old = matched[column["name"]]
        kept = _evolved_type(existing[old].field_type, column["type"], next_id) if old is not None else None
        if old is None or kept is None:
            fields.append(_new_field(column, next_id))
            continue
        before = existing[old]
        fields.append(
            NestedField(
                field_id=before.field_id,
                name=column["name"],
                field_type=kept,
                required=column["required"],
                doc=column["doc"],
                initial_default=before.initial_default,
                write_default=before.write_default,
            )
        )
    highest = max((schema.schema_id for schema in metadata.schemas), default=-1)
    return _identified(Schema(*fields, schema_id=highest + 1), values)


def _evolved_type(existing: IcebergType, wanted: Tree, next_id: NextId) -> IcebergType | None:
    """The type with the field ids it has; None when the column has to start anew."""
    from pyiceberg.types import ListType, MapType, StructType

    if not keeps_its_data(_tree(existing), wanted):
        return None
    if isinstance(existing, StructType):
        return _evolved_struct(existing, wanted, next_id)
    if isinstance(existing, ListType):
        element = _evolved_type(existing.element_type, wanted["element"], next_id)
        return ListType(element_id=existing.element_id, element=element, element_required=existing.element_required)
    if isinstance(existing, MapType):
        value = _evolved_type(existing.value_type, wanted["value"], next_id)
        return MapType(
            key_id=existing.key_id,
            key_type=existing.key_type,
            value_id=existing.value_id,
            value_type=value,
            value_required=existing.value_required,
        )
    return _new_type(wanted, next_id)


def _evolved_struct(existing: StructType, wanted: Tree, next_id: NextId) -> StructType:
    from pyiceberg.types import StructType

    by_name = {field.name: field for field in existing.fields}
    matched = match_names(list(by_name), [(field["name"], ()) for field in wanted["fields"]])
    fields: list[NestedField] = []
    for field in wanted["fields"]:
        old = matched[field["name"]]
        kept = _evolved_type(by_name[old].field_type, field["type"], next_id) if old is not None else None
        if old is None or kept is None:
            fields.append(_new_field({**field, "required": False, "doc": None}, next_id))
        else:
            fields.append(by_name[old].model_copy(update={"name": field["name"], "field_type": kept}))
    return StructType(*fields)


def _new_field(column: Mapping[str, Any], next_id: NextId) -> NestedField:
    from pyiceberg.types import NestedField

    field_id = next_id()
    return NestedField(
        field_id=field_id,
        name=column["name"],
        field_type=_new_type(column["type"], next_id),
        required=column["required"],
        doc=column["doc"],
    )


def _new_type(tree: Tree, next_id: NextId) -> IcebergType:
    from pyiceberg import types

    if isinstance(tree, str):
        decimal = decimal_of(tree)
        if decimal is not None:
            return types.DecimalType(*decimal)
        scalars: dict[str, Callable[[], PrimitiveType]] = {
            "boolean": types.BooleanType,
            "int": types.IntegerType,
            "long": types.LongType,
            "float": types.FloatType,
            "double": types.DoubleType,
            "string": types.StringType,
            "binary": types.BinaryType,
            "date": types.DateType,
            "timestamptz": types.TimestamptzType,
            "timestamp_ntz": types.TimestampType,
        }
        return scalars[tree]()
    if tree["type"] == "struct":
        fields = [{**field, "required": False, "doc": None} for field in tree["fields"]]
        return types.StructType(*(_new_field(field, next_id) for field in fields))
    if tree["type"] == "list":
        element_id = next_id()
        return types.ListType(
            element_id=element_id, element=_new_type(tree["element"], next_id), element_required=False
        )
    key_id, value_id = next_id(), next_id()
    return types.MapType(
        key_id=key_id,
        key_type=_new_type(tree["key"], next_id),
        value_id=value_id,
        value_type=_new_type(tree["value"], next_id),
        value_required=False,
    )


def _tree(existing: IcebergType) -> Tree:
    return tree_of_iceberg(existing.model_dump(mode="json", by_alias=True))


def _identified(schema: Schema, values: Mapping[str, JsonValue]) -> Schema:
    """With the primary key as identifier fields, where Iceberg accepts it."""
    from pyiceberg.schema import Schema

    key = values["primary_key"]
    wanted = key if identifies(values["columns"], key) else []
    identifiers = [schema.find_field(name).field_id for name in wanted]
    return Schema(*schema.fields, schema_id=schema.schema_id, identifier_field_ids=identifiers)


def _schema_updates(metadata: TableMetadata, schema: Schema) -> list[TableUpdate]:
    from pyiceberg.table.update import AddSchemaUpdate, SetCurrentSchemaUpdate

    if schema == metadata.schema():
        return []
    for earlier in metadata.schemas:
        if earlier == schema:
            return [SetCurrentSchemaUpdate.model_validate({"schema-id": earlier.schema_id})]
    return [AddSchemaUpdate(schema=schema), SetCurrentSchemaUpdate.model_validate({"schema-id": -1})]


def _spec(
    values: Mapping[str, JsonValue],
    schema: Schema,
    historical: Sequence[PartitionField],
    next_id: NextId,
    spec_id: int,
) -> PartitionSpec:
    """A partition field that the table had before keeps its id and name, as the specification asks."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import parse_transform

    taken = {field.name for field in historical}
    fields: list[PartitionField] = []
    for entry in values["partition_by"]:
        source_id = schema.find_field(entry["column"]).field_id
        transform = parse_transform(entry["transform"])
        before = [each for each in historical if (each.source_id, str(each.transform)) == (source_id, str(transform))]
        if before:
            fields.append(before[-1])
            continue
        name = _free_name(entry, taken, schema)
        taken.add(name)
        fields.append(PartitionField(source_id=source_id, field_id=next_id(), transform=transform, name=name))
    return PartitionSpec(*fields, spec_id=spec_id)


def _free_name(entry: Mapping[str, str], taken: set[str], schema: Schema) -> str:
    """As Iceberg names partition fields, ``order_ts_day``, ``order_id_bucket_16``, and free."""
    transform, _, width = entry["transform"].rstrip("]").partition("[")
    if transform == "truncate":
        transform = "trunc"
    name = entry["column"] if transform == "identity" else f"{entry['column']}_{transform}"
    name += f"_{width}" if width else ""
    columns = set(schema._name_to_id) - ({name} if transform == "identity" else set())
    numbered = (f"{name}_{count}" for count in itertools.count(2))
    return next(each for each in itertools.chain((name,), numbered) if each not in taken and each not in columns)


def _spec_updates(metadata: TableMetadata, values: Mapping[str, JsonValue], schema: Schema) -> list[TableUpdate]:
    from pyiceberg.table.update import AddPartitionSpecUpdate, SetDefaultSpecUpdate

    historical = [field for spec in metadata.partition_specs for field in spec.fields]
    counter = itertools.count((metadata.last_partition_id or 999) + 1)
    highest = max(spec.spec_id for spec in metadata.partition_specs)
    wanted = _spec(values, schema, historical, lambda: next(counter), highest + 1)
    live = [field for field in metadata.spec().fields if str(field.transform) != "void"]
    if list(wanted.fields) == live:
        return []
    for earlier in metadata.partition_specs:
        if earlier.fields == wanted.fields:
            return [SetDefaultSpecUpdate.model_validate({"spec-id": earlier.spec_id})]
    return [AddPartitionSpecUpdate(spec=wanted), SetDefaultSpecUpdate.model_validate({"spec-id": -1})]


def _order(values: Mapping[str, JsonValue], schema: Schema, order_id: int) -> SortOrder:
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, NullOrder, SortDirection, SortField, SortOrder
    from pyiceberg.transforms import IdentityTransform

    if not values["sort_by"]:
        return UNSORTED_SORT_ORDER
    fields = [
        SortField(
            source_id=schema.find_field(entry["column"]).field_id,
            transform=IdentityTransform(),
            direction=SortDirection(entry["direction"]),
            null_order=NullOrder(f"nulls-{entry['nulls']}"),
        )
        for entry in values["sort_by"]
    ]
    return SortOrder(*fields, order_id=order_id)


def _order_updates(metadata: TableMetadata, values: Mapping[str, JsonValue], schema: Schema) -> list[TableUpdate]:
    from pyiceberg.table.update import AddSortOrderUpdate, SetDefaultSortOrderUpdate

    highest = max((order.order_id for order in metadata.sort_orders), default=0)
    wanted = _order(values, schema, highest + 1)
    for earlier in metadata.sort_orders:
        if earlier.fields == wanted.fields:
            if earlier.order_id == metadata.default_sort_order_id:
                return []
            return [SetDefaultSortOrderUpdate.model_validate({"sort-order-id": earlier.order_id})]
    if not wanted.fields and metadata.default_sort_order_id == 0:
        return []
    # "The last one added" (-1) is the highest id to pyiceberg, which the unsorted order, always 0, is not.
    default = -1 if wanted.fields else 0
    added = AddSortOrderUpdate.model_validate({"sort-order": wanted})
    return [added, SetDefaultSortOrderUpdate.model_validate({"sort-order-id": default})]


def _name_mapping(metadata: TableMetadata, schema: Schema) -> str | None:
    """The table's name mapping (for files without field ids) with new columns and names; None when it has none."""
    mapping = metadata.name_mapping()
    if mapping is None:
        return None
    from pyiceberg.table.name_mapping import update_mapping

    before = metadata.schema()
    known = set(before._lazy_id_to_field)
    parents = schema._lazy_id_to_parent
    changed: dict[int, NestedField] = {}
    added: dict[int, list[NestedField]] = {}
    for field_id, field in schema._lazy_id_to_field.items():
        if field_id not in known:
            parent = parents.get(field_id, -1)
            if parent == -1 or parent in known:
                added.setdefault(parent, []).append(field)
        elif before.find_field(field_id).name != field.name:
            changed[field_id] = field
    return update_mapping(mapping, changed, added).model_dump_json()
