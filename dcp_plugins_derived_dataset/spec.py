"""A derived dataset as data.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from dcp_plugins_base.dataset import QueryDataset


@attrs.frozen(kw_only=True)
class DerivedTable(QueryDataset):
    """The table ``derived_datasets.<name>`` and the query that fills it."""

    manifest_type: ClassVar[str] = "derived_dataset"
    namespace: ClassVar[str] = "derived_datasets"
