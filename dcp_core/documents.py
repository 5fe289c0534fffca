"""The model as JSON and back: what the journal, the inventory and saved plans hold.

``from_json(to_json(x), type(x)) == x`` for every class of ``model`` and ``records`` but ``Command``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import cattrs
import cattrs.gen
from cattrs.preconf.json import make_converter

from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, InvalidSpecError
from dcp_core.model import Metadata, Resource

T = TypeVar("T")


@cache
def _converter() -> cattrs.Converter:
    converter = make_converter(forbid_extra_keys=True)
    # A place in a manifest mixes names and positions; JSON keeps the two apart by itself.
    converter.register_structure_hook(str | int, lambda value, _type: value)
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    converter.register_structure_hook(bytes, lambda value, _type: base64.b64decode(value, validate=True))
    # What was kept before manifests had drift policies stays as it is, and so do the versions that compare with it.
    told = cattrs.gen.make_dict_unstructure_fn(Metadata, converter, drift=cattrs.gen.override(omit_if_default=True))
    converter.register_unstructure_hook(Metadata, told)
    return converter


def to_json(value: Any) -> JsonValue:
    """Plain dicts, lists, strings, numbers; times as ISO 8601, bytes in base64."""
    return _plain(_converter().unstructure(value))


def from_json(value: JsonValue, cls: type[T]) -> T:
    """The inverse of ``to_json``.

    Raises:
        ConflictError: The document has another shape: another version wrote it, or somebody edited it.
    """
    try:
        return _converter().structure(value, cls)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        problems = cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [str(error)]
        raise ConflictError(
            f"the document is not a {cls.__name__} of this version: {problems[0]}",
            hint="make it again with the installed version",
            code="document.shape",
        ) from None


def spec_of(resource: Resource, cls: type[T]) -> T:
    """The spec of a resource as the typed class of its kind.

    Raises:
        InvalidSpecError: It has another shape. Never retried.
    """
    try:
        return from_json(resource.spec, cls)
    except ConflictError as error:
        raise InvalidSpecError(error.message, where=str(resource.key)) from None


def _plain(value: Any) -> JsonValue:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
