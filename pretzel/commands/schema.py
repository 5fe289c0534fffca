"""``schema``: the JSON Schema of a manifest type, as editors and other tools take it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.options import command

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _schema(session: Session, manifest_type: str) -> int:
    """Print the JSON Schema (draft 2020-12) of a manifest type.

    Editors check and complete with it: `# yaml-language-server: $schema=FILE` as the first line of a manifest.
    """
    from dcp_core.validation import with_manifest_type

    registry = session.local.registry
    name = manifest_type.replace("-", "_") if "-" in manifest_type else manifest_type
    document = with_manifest_type(registry.plugin(name, "get_manifest_schema"), name)

    def render(screen: Screen) -> None:
        # A schema is for tools in every mode: written as it is, whatever the width.
        screen.stream.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    session.output.result(document, render)
    return exits.DONE


schema = command(_schema, [click.Argument(["manifest_type"], metavar="TYPE")])
