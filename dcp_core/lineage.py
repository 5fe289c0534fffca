"""What the columns of a manifest's data are made from, as its plugin tells.

Source: design.md section 9; OpenLineage's facet ColumnLineageDatasetFacet 1-2-0, for the words.
"""

from __future__ import annotations

import enum

import attrs


class Transformation(enum.StrEnum):
    """How a column comes from another."""

    IDENTITY = "IDENTITY"
    """As it is, perhaps under another name."""
    TRANSFORMATION = "TRANSFORMATION"
    """Computed from it, row by row."""
    AGGREGATION = "AGGREGATION"
    """Computed from its values in many rows."""


@attrs.frozen
class ColumnSource:
    """A column that another one is made from.

    Args:
        data: Name of the data it is in, as resources provide it, ``sales.orders``; of data that no manifest provides
            and no catalog holds a URI, ``connection://shop/public.orders``.
        column: Its name there.
        transformation: How the value gets from there to here.
    """

    data: str
    column: str
    transformation: Transformation = Transformation.IDENTITY


@attrs.frozen
class ColumnLineage:
    """One column that a manifest writes.

    Args:
        data: Name of the data it is in, as the manifest's resource provides it.
        column: Its name.
        type: As text; None when the plugin does not know.
        sources: What its value is made from; () when that is nothing (a constant), or not known.
        is_known: Whether ``sources`` is all there is.
    """

    data: str
    column: str
    type: str | None = None
    sources: tuple[ColumnSource, ...] = ()
    is_known: bool = True
