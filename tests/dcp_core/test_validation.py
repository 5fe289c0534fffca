"""Schemas that are wrong themselves, and the words of findings."""

from __future__ import annotations

from typing import Any

import pytest

from dcp_core.errors import PluginError
from dcp_core.validation import validate, with_manifest_type


@pytest.mark.parametrize(
    "schema",
    [{"type": "objct"}, {"properties": {"a": {"pattern": "("}}}, {"properties": {"a": {"$ref": "#/nowhere"}}}],
    ids=["unknown type", "broken pattern", "reference to nowhere"],
)
def test_a_broken_schema_is_the_plugins_bug(schema: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="the manifest's schema is not valid"):
        validate({"a": "x"}, with_manifest_type(schema, "shelf"))


def test_findings_say_what_was_expected_and_the_nearest_right_word() -> None:
    schema = {
        "required": ["name"],
        "properties": {"name": {"description": "Its name."}, "colour": {"enum": ["red", "green"]}, "flag": True},
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": False,
    }
    found = validate({"colour": "rad", "colr": 1, "x_a": "b", "flag": 1}, with_manifest_type(schema, "shelf"))
    assert {(each.code, each.message.splitlines()[0], each.hint) for each in found} == {
        ("schema.required", "name is missing: Its name", None),
        ("schema.enum", 'colour is "rad"', 'did you mean "red"?'),
        ("schema.unknown_key", "colr is not a known field", 'did you mean "colour"?'),
        ("schema.type", 'x_a is "b"; expected a whole number', None),
    }


def test_the_password_of_an_address_is_not_repeated() -> None:
    schema = with_manifest_type({"properties": {"source": {"pattern": "^[a-z]+$"}}}, "shelf")
    (found,) = validate({"source": "postgresql://me:hunter2@db/shop"}, schema)
    assert 'source is "postgresql://me:***@db/shop"' in found.message


def test_every_manifest_may_name_its_type() -> None:
    schema = with_manifest_type({"properties": {}, "additionalProperties": False}, "shelf")
    assert validate({"manifest_type": "shelf"}, schema) == ()
    assert [each.code for each in validate({"manifest_type": "other"}, schema)] == ["schema.enum"]
