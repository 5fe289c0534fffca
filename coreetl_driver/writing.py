"""What may be written into what: a query's types against the types of its table's columns.

What cannot lose a value may, by name for structs. Messages name types as Spark SQL does, since a CAST is the cure.
"""

from __future__ import annotations

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType

_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "long": 19}
_WIDER = {
    "tinyint": ("smallint", "int", "long", "float", "double"),
    "smallint": ("int", "long", "float", "double"),
    "int": ("long", "double"),
    "float": ("double",),
}


def problem_writing(actual: ColumnType, wanted: ColumnType) -> str | None:
    """Why values of ``actual`` cannot go into a column of ``wanted`` without a possible loss; None when they can."""
    match actual, wanted:
        case ScalarType(), ScalarType() if _fits(actual, wanted):
            return None
        case ScalarType("null"), _:
            return None
        case ArrayType(), ArrayType():
            return _inside("element", actual.element, wanted.element)
        case MapType(), MapType():
            return _inside("key", actual.key, wanted.key) or _inside("value", actual.value, wanted.value)
        case StructType(), StructType():
            return _problem_in_struct(actual, wanted)
    return f"{actual.spark} cannot become {wanted.spark} without a possible loss"


def _fits(actual: ScalarType, wanted: ScalarType) -> bool:
    if actual == wanted or wanted.name in _WIDER.get(actual.name, ()):
        return True
    if wanted.name != "decimal":
        return False
    whole_digits = (wanted.precision or 0) - (wanted.scale or 0)
    if actual.name == "decimal":
        needed = (actual.precision or 0) - (actual.scale or 0)
        return whole_digits >= needed and (wanted.scale or 0) >= (actual.scale or 0)
    return actual.name in _INTEGER_DIGITS and whole_digits >= _INTEGER_DIGITS[actual.name]


def _problem_in_struct(actual: StructType, wanted: StructType) -> str | None:
    have = [name.lower() for name, _ in actual.fields]
    need = [name.lower() for name, _ in wanted.fields]
    if have != need:
        return f"the struct has the fields ({', '.join(have)}), not ({', '.join(need)})"
    for (name, inner), (_, wanted_inner) in zip(actual.fields, wanted.fields, strict=True):
        problem = _inside(name, inner, wanted_inner)
        if problem:
            return problem
    return None


def _inside(name: str, actual: ColumnType, wanted: ColumnType) -> str | None:
    problem = problem_writing(actual, wanted)
    return f"in {name}: {problem}" if problem else None
