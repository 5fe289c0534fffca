"""Where the embedded engine (Sail) and Spark differ about numbers, and about the type that several types become.

Like ``engine``, which says what is meant by differing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from coreetl_driver.column_types import ScalarType
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.lints.engine import Difference, declared, differences, differs, is_nested
from dcp_plugins_base.lints.subject import QuerySubject

if TYPE_CHECKING:
    from sqlglot import exp

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_LARGE = 1 << 30
_MAX_PRECISION = 38


def numbers(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What the text of an expression alone tells."""
    yield from differences(subject, _RULES)


def _rint(_node: Any) -> Difference:
    return Difference("rint", "rounds halves away from zero in RINT, Spark to the even neighbour", "use ROUND")


def _ceil(node: Any) -> Difference | None:
    if node.args.get("decimals") is None or node.this.is_type("decimal"):
        return None
    name = type(node).__name__.upper()
    return Difference(
        "ceil_scale", f"rounds wrongly in {name} with a number of digits", f"multiply, {name} and divide again"
    )


def _isnan(_node: Any) -> Difference:
    return Difference("isnan", "gives NULL for ISNAN(NULL), Spark false", "COALESCE(ISNAN(x), FALSE)")


def _to_text(node: Any) -> Difference | None:
    if not node.is_type("text", "varchar"):
        return None
    if is_nested(node.this):
        message = "writes NULL inside the text of an array, map or struct, Spark null"
        return Difference("nested_to_text", message, "TO_JSON", Severity.INFO)
    return _floating_text(node.this)


def _concat(node: Any) -> Difference | None:
    return next(filter(None, map(_floating_text, node.expressions)), None)


def _floating_text(node: exp.Expr) -> Difference | None:
    if not node.is_type("double", "float") or node.is_number:  # 2.5 is a decimal, whatever sqlglot says
        return None
    message = "writes doubles without an exponent: 10000000.0, Spark 1.0E7"
    return Difference("double_to_text", message, "CAST to a decimal first")


def _arithmetic(node: Any) -> Difference | None:
    pair = (node.left, node.right)
    if any(side.is_type("float") for side in pair) and any(side.is_type(*_INTEGERS) for side in pair):
        return Difference(
            "float_with_integer", "keeps a float with an integer a float, Spark makes it a double", "CAST"
        )
    if any(side.is_int and abs(int(side.to_py())) >= _LARGE for side in pair):
        message = "wraps around when the result exceeds the largest integer, Spark fails"
        return Difference("integer_overflow", message, "CAST to DECIMAL(38, 0), or TRY_ADD and TRY_MULTIPLY")
    if any(_precision(side) >= _MAX_PRECISION for side in pair):
        message = "keeps digits of decimal(38, …) that Spark rounds away to make room"
        return Difference("decimal_digits", message, "CAST both sides to smaller precisions first")
    return None


def _precision(node: exp.Expr) -> int:
    if not node.is_type("decimal") or node.type is None or not node.type.expressions:
        return 0
    return int(node.type.expressions[0].name)


def _results(node: Any) -> list[exp.Expr]:
    """What a CASE or an IF may give, in the order of the text."""
    results = [each.args["true"] for each in node.args["ifs"]] if "ifs" in node.args else [node.args["true"]]
    default = node.args.get("default") or node.args.get("false")
    return [*results, default] if default is not None else results


def _mixed(types: Sequence[exp.DataType | None], what: str) -> Difference | None:
    """A difference when the first type, which it takes for all, is too narrow for another."""
    first, *others = types or [None]
    if first is None or not any(_is_wider(other, first) for other in others):
        return None
    return Difference(
        "mixed_types", f"gives all the type of the first {what}", f"CAST the first {what} to the widest type"
    )


def _is_wider(other: exp.DataType | None, first: exp.DataType) -> bool:
    if first.is_type("null") or other is None:
        return first.is_type("null") and (other is None or not other.is_type("null"))
    if first.is_type(*_INTEGERS):
        wider = [*_INTEGERS[_INTEGERS.index(first.this.value.lower()) + 1 :], "decimal", "float", "double"]
        return other.is_type(*wider)
    if first.is_type("decimal"):
        return other.is_type("float", "double") or (other.is_type("decimal") and _needs_more(other, first))
    if first.is_type("float"):
        return other.is_type("double")
    return first.is_type("date") and other.is_type("timestamp", "timestamptz", "timestampltz", "timestampntz")


def _needs_more(other: exp.DataType, first: exp.DataType) -> bool:
    """Whether a decimal has more digits before or after the point than another."""
    sizes = [[int(size.name) for size in of.expressions] for of in (other, first)]
    if any(len(size) != 2 for size in sizes):
        return False
    (precision, scale), (first_precision, first_scale) = sizes
    return scale > first_scale or precision - scale > first_precision - first_scale


_RULES = {
    "Rint": _rint,
    "Ceil": _ceil,
    "Floor": _ceil,
    "IsNan": _isnan,
    "Cast": _to_text,
    "TryCast": _to_text,
    "Concat": _concat,
    "Add": _arithmetic,
    "Sub": _arithmetic,
    "Mul": _arithmetic,
}


def mixed_branches(subject: QuerySubject) -> Iterator[Diagnostic]:
    """CASE and IF take the type of what comes first: loud when the others do not fit, else another type."""
    from sqlglot import exp

    tree = subject.query.typed_tree
    if tree is None:
        return
    wanted = {
        id(node): _declared_type(subject, output.name)
        for output in subject.query.outputs or ()
        if output.expression is not None
        for node in output.expression.find_all(exp.Case, exp.If)
    }
    for node in tree.find_all(exp.Case, exp.If, bfs=False):
        if isinstance(node.parent, exp.Case) and node.arg_key == "ifs":
            continue  # a WHEN of that CASE
        types = [_type_of(result, wanted.get(id(node))) for result in _results(node)]
        found = _mixed([of for of in types if of is None or not of.is_type("null")], "branch")
        if found is not None:
            yield differs(subject, found.code, found.message, subject.query.place_of(node), found.hint)


def mixed_members(subject: QuerySubject) -> Iterator[Diagnostic]:
    """UNION and its like do the same."""
    from sqlglot import exp

    tree = subject.query.typed_tree
    for node in tree.find_all(exp.SetOperation, bfs=False) if tree is not None else ():
        if isinstance(node.parent, exp.SetOperation) and node.arg_key == "this":
            continue  # its parent looks at all of its members
        for columns in zip(*(member.selects for member in _members(node)), strict=False):
            wanted = _declared_type(subject, columns[0].alias_or_name)
            found = _mixed([_type_of(column.unalias(), wanted) for column in columns], "SELECT")
            if found is not None:
                place = subject.query.place_of(columns[0]) or subject.query.place_of(node)
                yield differs(subject, found.code, found.message, place, found.hint)


def _declared_type(subject: QuerySubject, name: str) -> exp.DataType | None:
    """The number type that the manifest gives a column, for what the text does not tell the type of."""
    from sqlglot import exp

    field = subject.dataset.field_named(name) if name else None
    of = field.parsed_type() if field else None
    kinds = ("long", "decimal", "double")
    return exp.DataType.build(of.spark) if isinstance(of, ScalarType) and of.name in kinds else None


def _type_of(node: exp.Expr, otherwise: exp.DataType | None) -> exp.DataType | None:
    """The type that the text tells, else the one that the whole is declared to have."""
    from sqlglot import exp

    if node.is_number and not node.is_int and "E" not in node.name.upper():  # sqlglot takes 2.5 for a double
        return exp.DataType.build(str(_decimal_of(node.name)))
    return otherwise if node.type is None or node.is_type("unknown") else node.type


def _decimal_of(digits: str) -> ScalarType:
    """The type of a literal such as 2.5."""
    whole, _, fraction = digits.partition(".")
    return ScalarType("decimal", max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction))


def _members(node: Any) -> list[Any]:
    from sqlglot import exp

    left, right = node.left.unnest(), node.right.unnest()
    before = _members(left) if isinstance(left, exp.SetOperation) else [left]
    return [*before, right]


def nvl_of_decimals(subject: QuerySubject) -> Iterator[Diagnostic]:
    """NVL and IFNULL make doubles of decimals there; COALESCE does not."""
    if not any(declared(subject, output) == "decimal" for output in subject.query.outputs or ()):
        return
    for name, place in subject.query.calls:
        if name in ("nvl", "ifnull"):
            message = f"makes a double of the decimals in {name.upper()}"
            yield differs(subject, "nvl_of_decimals", message, place, "use COALESCE, which means the same")


def decimal_precision(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Whole numbers beside decimals: the same value, in a decimal of another precision."""
    from sqlglot import exp

    kinds = (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Case, exp.If, exp.Nullif, exp.Round)
    for output in subject.query.outputs or ():
        if output.expression is None or declared(subject, output) != "decimal":
            continue
        if isinstance(output.expression, exp.Cast):
            continue
        for node in output.expression.find_all(*kinds, bfs=False):
            parts = _results(node) if isinstance(node, exp.Case | exp.If) else list(node.iter_expressions())
            if isinstance(node, exp.Round) or any(part.is_int for part in parts):
                yield differs(
                    subject,
                    "decimal_precision",
                    "gives decimals another precision than Spark here, of the same value",
                    subject.query.place_of(node),
                    "CAST the result to the type of its field",
                    Severity.INFO,
                )
                break


def wider_integers(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Functions that give a bigint there and an int in Spark."""
    from sqlglot import exp

    for output in subject.query.outputs or ():
        if output.expression is None or declared(subject, output) != "int":
            continue
        for node in output.expression.find_all(exp.DateDiff, exp.RegexpCount, bfs=False):
            if node.find_ancestor(exp.Cast, exp.DateAdd, exp.TsOrDsAdd) is None:
                message = "gives a bigint, Spark an int"
                yield differs(subject, "wider_integer", message, subject.query.place_of(node), "CAST(… AS INT)")
