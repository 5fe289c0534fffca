"""The JSON Schema as editors use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from dcp_plugins_derived_dataset import DerivedDataset


def _subschemas(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _subschemas(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _subschemas(schema["items"], f"{path}[]")
    for index, inner in enumerate(schema.get("anyOf", ())):
        yield from _subschemas(inner, f"{path}|{index}")


def test_the_schema_is_valid_and_describes_every_key() -> None:
    schema = dict(DerivedDataset().get_manifest_schema())
    Draft202012Validator.check_schema(schema)
    undescribed = [path for path, inner in _subschemas(schema, "$") if not inner.get("description")]
    assert undescribed == []


def test_no_mapping_of_the_schema_takes_a_misspelled_key() -> None:
    schema = dict(DerivedDataset().get_manifest_schema())
    is_open = [
        path
        for path, inner in _subschemas(schema, "$")
        if inner.get("properties") and inner.get("additionalProperties") is not False
    ]
    assert is_open == []


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("sqlglot", "pyiceberg", "pyarrow", "pyspark", "grpc", "sqlalchemy", "jsonschema", "ruamel.yaml")
    code = f"import dcp_plugins_derived_dataset, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
