"""Run dates in the values of parameters, such as ``{{ data_interval_end | ds }}`` and ``{{ macros.ds_add(ds, -3) }}``.

The names are Airflow's; the language is not Jinja but its smallest useful part, evaluated by this module from a syntax
tree of a few kinds of nodes: whoever may register a job gives these texts to the driver, and nothing in them may call,
loop, or grow. What is between the braces is a name, a text or whole number, a function of ``macros``, and filters.

Source: Airflow documentation, "Templates reference".
"""

from __future__ import annotations

import ast
import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from attrs import frozen

from dcp_core.errors import InvalidSpecError
from dcp_core.intervals import Interval

MAX_LENGTH = 200  # of one macro: what a person writes; the parser's depth is bounded by it
MAX_MACROS = 50  # in one text: whoever may run a job must not keep the driver busy with reading it
_MACRO = re.compile(r"""\{\{(?P<inside>(?:'[^']*'|"[^"]*"|\}(?!\})|[^'"}])*)\}\}""")
_OPENING = re.compile(r"\{[{%#]")
_QUOTES = ("'", '"')
_TEXT = re.compile(r"'[^'\n]*'" r'|"[^"\n]*"')
_NUMBER_IN_WORD = re.compile(r"\b\d[\d_]*[^\W\d_]")
_PREFIX = re.compile(r"\w'")
_DIRECTIVES = re.compile(r"(?:[^%]|%[YmdHMSjyGuVBbAa%])*")
_MAX_DAYS = 4_000_000  # more than the calendar has
_SAMPLE = Interval.of_day(date(2026, 1, 1))

_TIMES: Mapping[str, str] = {
    "ds": "%Y-%m-%d",
    "ds_nodash": "%Y%m%d",
    "ts_nodash": "%Y%m%dT%H%M%S",
    "ts_nodash_with_tz": "%Y%m%dT%H%M%S%z",
}
FILTERS = ("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz")
"""What gives a moment as text; as names, that of the interval's start."""

NAMES = (*FILTERS, "data_interval_start", "data_interval_end", "logical_date")
FUNCTIONS = ("ds_add", "ds_format")
_FORMER = {  # what Airflow once had, or what has a place elsewhere
    "execution_date": "logical_date",
    "yesterday_ds": "macros.ds_add(ds, -1)",
    "prev_ds": "macros.ds_add(ds, -1)",
    "tomorrow_ds": "macros.ds_add(ds, 1)",
    "next_ds": "data_interval_end | ds",
}


@frozen
class MacroProblem:
    """Why a text cannot be filled in.

    Args:
        offset: Where in the text, in characters from 0.
    """

    message: str
    offset: int
    hint: str | None = None


class _MacroError(Exception):
    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def has_macros(text: str) -> bool:
    """Whether there is something to fill in."""
    return _OPENING.search(text) is not None


def check(text: str) -> tuple[MacroProblem, ...]:
    """Everything that is wrong with the macros of ``text``; empty when it can be filled in for an ordinary run."""
    return tuple(problem for piece in _pieces(text, _SAMPLE) if isinstance(problem := piece, MacroProblem))


def resolve(text: str, interval: Interval) -> str:
    """``text`` with the dates of a run in it.

    Raises:
        InvalidSpecError: A macro is unknown or leads out of the calendar. Never retried.
    """
    pieces = []
    for piece in _pieces(text, interval):
        if isinstance(piece, MacroProblem):
            raise InvalidSpecError(piece.message, hint=piece.hint)
        pieces.append(piece)
    return "".join(pieces)


def resolve_all(params: Mapping[str, str], interval: Interval) -> dict[str, str]:
    """The parameters with the dates of a run in their values.

    Raises:
        InvalidSpecError: As ``resolve``; it names the parameter.
    """
    resolved = {}
    for name, text in params.items():
        try:
            resolved[name] = resolve(text, interval)
        except InvalidSpecError as error:
            raise InvalidSpecError(f"parameter {name}: {error.message}", hint=error.hint) from None
    return resolved


def _pieces(text: str, interval: Interval) -> Iterator[str | MacroProblem]:
    """The text's parts in order, each macro as what it gives or why it gives nothing."""
    end = 0
    for number in itertools.count(1):
        opening = _OPENING.search(text, end)
        if opening is None:
            yield text[end:]
            return
        yield text[end : opening.start()]
        if number > MAX_MACROS:
            yield MacroProblem(f"there are more than {MAX_MACROS} macros in one value", opening.start())
            return
        macro = _MACRO.match(text, opening.start())
        if macro is None:
            yield _unreadable(text, opening)
            return
        end = macro.end()
        try:
            yield _filled_in(macro["inside"], interval)
        except _MacroError as error:
            yield MacroProblem(f"{_shown(macro[0])}: {error}", macro.start(), error.hint)


def _unreadable(text: str, opening: re.Match[str]) -> MacroProblem:
    shown = _shown(text[opening.start() :])
    if opening[0] == "{{":
        return MacroProblem(f"{shown}: the braces are not closed", opening.start(), "write {{ ds }}")
    return MacroProblem(
        f"{shown}: statements and comments of templates are not supported",
        opening.start(),
        "a value may hold dates of the run, such as {{ ds }}",
    )


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _filled_in(inside: str, interval: Interval) -> str:
    source = inside.strip()
    if len(source) > MAX_LENGTH:
        raise _MacroError(f"longer than {MAX_LENGTH} characters")
    if "\\" in source:
        raise _MacroError("a backslash has no meaning here", _AVAILABLE)
    if _has_warnings(source):
        raise _MacroError("this cannot be read", _AVAILABLE)
    try:
        tree = ast.parse(source, mode="eval").body
        value = _value(tree, _names(interval))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _MacroError("this cannot be read", _AVAILABLE) from None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _has_warnings(source: str) -> bool:
    """Whether Python might warn of it on standard error; what catches warnings is not for several threads.

    It warns of numbers that run into a word, as in ``1if``, also within a text with a prefix, ``f'…'``.
    """
    if any(quote * 3 in source for quote in _QUOTES):  # these texts end elsewhere than one would think
        return True
    rest = _TEXT.sub("''", source)
    is_open = any(quote in rest.replace("''", "") for quote in _QUOTES)
    return is_open or _NUMBER_IN_WORD.search(rest) is not None or _PREFIX.search(rest) is not None


_AVAILABLE = f"there are: {', '.join(NAMES)}, {', '.join(f'macros.{name}' for name in FUNCTIONS)}"


def _names(interval: Interval) -> dict[str, Any]:
    moments = {
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        "logical_date": interval.start,
    }
    return {**moments, **{name: _as_text(name, interval.start) for name in FILTERS}}


def _as_text(of: str, moment: datetime) -> str:
    # strftime leaves out the zeros of early years on some systems.
    return moment.isoformat() if of == "ts" else moment.strftime(_TIMES[of].replace("%Y", f"{moment.year:04}"))


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=str() | int() as constant) if not isinstance(constant, bool):
            return constant
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)) if not isinstance(number, bool):
            return -number
        case ast.Name(id=name):
            if name not in names:
                raise _unknown(name, names)
            return names[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Name(id=name)):
            return _filtered(_value(left, names), name)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="macros"), attr=name), args=arguments, keywords=[]):
            return _called(name, [_value(each, names) for each in arguments])
    raise _MacroError("this is no name, text, whole number, filter or function of macros", _AVAILABLE)


def _unknown(name: str, names: Mapping[str, Any]) -> _MacroError:
    if name in _FORMER:
        return _MacroError(f"there is no {name!r}", f"write {{{{ {_FORMER[name]} }}}}")
    if name in FUNCTIONS:
        return _MacroError(f"there is no {name!r}", f"write macros.{name}")
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return _MacroError(f"there is no {name!r}", f"did you mean {near[0]!r}?" if near else _AVAILABLE)


def _filtered(value: Any, name: str) -> str:
    if name not in FILTERS:
        near = difflib.get_close_matches(name.lower(), FILTERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"filters: {', '.join(FILTERS)}"
        raise _MacroError(f"there is no filter {name!r}", hint)
    if not isinstance(value, datetime):
        raise _MacroError(f"filter {name!r} takes a moment", "such as {{ data_interval_end | ds }}")
    return _as_text(name, value)


def _called(name: str, arguments: list[Any]) -> str:
    functions: Mapping[str, tuple[Callable[..., str], tuple[type, ...], str]] = {
        "ds_add": (_ds_add, (str, int), "macros.ds_add(ds, -3)"),
        "ds_format": (_ds_format, (str, str, str), 'macros.ds_format(ds, "%Y-%m-%d", "%Y%m")'),
    }
    if name not in functions:
        near = difflib.get_close_matches(name.lower(), functions, n=1)
        hint = f"did you mean macros.{near[0]}?" if near else f"there are: {', '.join(functions)}"
        raise _MacroError(f"there is no function macros.{name}", hint)
    function, kinds, example = functions[name]
    if len(arguments) != len(kinds) or not all(map(isinstance, arguments, kinds)):
        raise _MacroError(f"macros.{name} is not used as it is meant", f"such as {{{{ {example} }}}}")
    return function(*arguments)


def _ds_add(ds: str, days: int) -> str:
    """A day some days later, or earlier."""
    try:
        day = date.fromisoformat(ds)
    except ValueError:
        raise _MacroError(f"{_shown(ds)!r} is not a day", "macros.ds_add takes YYYY-MM-DD, such as ds") from None
    if abs(days) > _MAX_DAYS:
        raise _MacroError(f"{days} days lead out of the calendar")
    try:
        return (day + timedelta(days=days)).isoformat()
    except OverflowError:
        raise _MacroError(f"{ds} and {days} days lead out of the calendar") from None


def _ds_format(text: str, given: str, wanted: str) -> str:
    """A day in another form."""
    for form in (given, wanted):
        if not _DIRECTIVES.fullmatch(form):  # a width, as in %99999d, would fill the memory
            raise _MacroError(f"{_shown(form)!r} has a directive that is not supported", "such as %Y-%m-%d, %Y%m, %j")
    try:
        return datetime.strptime(text, given).replace(tzinfo=UTC).strftime(wanted)
    except ValueError:
        raise _MacroError(f"{_shown(text)!r} is not of the form {_shown(given)!r}") from None
