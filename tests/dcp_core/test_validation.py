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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://bob:hunter2@db/shop", "postgresql://***"),
        ("postgresql://bob:hun@ter2@db/shop", "postgresql://***"),
        ("postgresql://bob:hun/ter2@db/shop", "postgresql://***"),
        ("postgresql://db/shop?password=hunter2", "postgresql://***"),
        ("jdbc:postgresql://db/shop?user=bob&password=hunter2", "postgresql://***"),
        ("bob:hunter2@db/shop", "***"),
        ("Server=db;Uid=bob;PWD=hunter2;Port=1", "Server=db;Uid=bob;PWD=***;Port=1"),
        ("host=db Password = 'hun ter2' port=1", "host=db Password = *** port=1"),
    ],
)
def test_an_address_is_not_repeated_with_its_password(value: str, shown: str) -> None:
    rules = ({"pattern": "^[a-z]+$"}, {"type": "integer"}, {"enum": ["shop"]}, {"anyOf": [{"type": "null"}]})
    for rule in rules:
        (found,) = validate({"source": value}, with_manifest_type({"properties": {"source": rule}}, "shelf"))
        assert f'source is "{shown}"' in found.message


@pytest.mark.parametrize("rule", [{"minLength": 99}, {"not": {}}, {"uniqueItems": True}, {"maxItems": 1}])
def test_no_rule_repeats_a_password(rule: dict[str, Any]) -> None:
    address = "postgresql://bob:hun/ter2@db/shop"
    value = [address, address] if {"uniqueItems", "maxItems"} & set(rule) else address
    (found,) = validate({"source": value}, with_manifest_type({"properties": {"source": rule}}, "shelf"))
    assert "ter2" not in found.message
    assert found.message.startswith("source: ")


@pytest.mark.timeout(60)  # any pattern that goes over it again and again would take far longer
def test_a_novel_for_a_name_is_told_at_once() -> None:
    schema = with_manifest_type({"properties": {"name": {"type": "integer"}}}, "shelf")
    for text in ("a:" * 200_000, "token" * 100_000, "x@" * 200_000):
        assert len(validate({"name": text}, schema)[0].message) < 200


def test_every_manifest_may_name_its_type() -> None:
    schema = with_manifest_type({"properties": {}, "additionalProperties": False}, "shelf")
    assert validate({"manifest_type": "shelf"}, schema) == ()
    assert [each.code for each in validate({"manifest_type": "other"}, schema)] == ["schema.enum"]


def test_a_key_that_a_section_beside_it_has_is_sent_there() -> None:
    schema = {
        "properties": {"workflow": {"properties": {"compute": True}}, "computer": True},
        "additionalProperties": False,
    }
    (found,) = validate({"compute": {}}, with_manifest_type(schema, "shelf"))
    assert found.hint == "it belongs into workflow: workflow.compute"
