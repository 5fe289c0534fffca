"""Where the embedded engine (Sail) and Spark differ about texts, patterns and JSON. Like ``engine``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.lints.engine import Difference, differences, differs
from dcp_plugins_base.lints.subject import QuerySubject

# Sail's patterns are those of Rust's regex crate, which has neither look-around nor back-references.
_NOT_IN_RUST = re.compile(r"\(\?(?:[=!>]|<[=!])|(?<!\\)(?:\\\\)*\\[1-9]")
_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\\[wWdDsSbB]")


def texts(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What the text of an expression alone tells."""
    yield from differences(subject, _RULES)


def doubled_quotes(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A quote inside a string, written twice, is one quote in Spark 4 and none there."""
    for token, following in itertools.pairwise(subject.query.tokens):
        if token.token_type.name == following.token_type.name == "STRING" and token.end + 1 == following.start:
            message = "drops a quote that is written twice inside a string, Spark keeps one"
            place = subject.query.place_at(token.start)
            yield differs(subject, "doubled_quote", message, place, "write a backslash before the quote")


def _initcap(_node: Any) -> Difference:
    message = "begins a word after every character that is no letter in INITCAP, Spark after spaces alone"
    return Difference("initcap", message, "compose it of UPPER, LOWER and SUBSTRING, or keep the text as it is")


def _pattern(node: Any) -> Difference | None:
    pattern = node.args.get("expression")
    if pattern is None or not pattern.is_string:
        return None
    text = pattern.name
    if _NOT_IN_RUST.search(text):
        return Difference(
            "regex_lookaround", "knows no look-around and no back-references in patterns", "REGEXP_EXTRACT with groups"
        )
    if _CLASS.search(text):
        message = r"matches letters and digits of all scripts with \w, \d, \s and \b, Spark those of ASCII"
        return Difference("regex_unicode", message, "write [A-Za-z0-9_], [0-9] or [ \\t] instead", Severity.INFO)
    return None


def _split(node: Any) -> Difference | None:
    if node.expression.is_string and not node.expression.name:
        message = "puts an empty text before and after the characters of SPLIT(text, '')"
        return Difference("split_empty", message, "SLICE the result, or filter the empty ones out")
    return _pattern(node)


def _substring(node: Any) -> Difference | None:
    from sqlglot import exp

    start, length = node.args.get("start"), node.args.get("length")
    if isinstance(length, exp.Neg):
        return Difference("substring_length", "fails for a negative length, Spark gives an empty text", "LEFT or RIGHT")
    if isinstance(start, exp.Neg) and length is not None:
        message = "counts the length from the first character when the text is shorter than the start, Spark does not"
        return Difference("substring_start", message, "RIGHT, and LEFT of that")
    return None


def _json_path(node: Any) -> Difference | None:
    from sqlglot import exp

    if node.expression.find(exp.JSONPathWildcard) is not None:
        message = "finds nothing for a path with [*] in GET_JSON_OBJECT"
        return Difference("json_wildcard", message, "FROM_JSON, and TRANSFORM of the array")
    message = "gives objects, arrays and numbers as they are written in the JSON, Spark writes them anew"
    return Difference("json_text", message, "FROM_JSON gives values", Severity.INFO)


def _to_json(_node: Any) -> Difference:
    message = "writes timestamps with six digits, and decimals without the zeros at their end, in TO_JSON"
    return Difference("to_json", message, "CAST such values to STRING first", Severity.INFO)


_RULES = {
    "Initcap": _initcap,
    "RegexpReplace": _pattern,
    "RegexpExtract": _pattern,
    "RegexpExtractAll": _pattern,
    "RegexpLike": _pattern,
    "RegexpCount": _pattern,
    "RegexpInstr": _pattern,
    "RegexpSplit": _split,
    "Substring": _substring,
    "JSONExtractScalar": _json_path,
    "JSONFormat": _to_json,
}
