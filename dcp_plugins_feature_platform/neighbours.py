"""The feature views of one call, by what a lint asks of them: worked out once, however many manifests there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import attrs

from dcp_core.context import Context
from dcp_core.model import LogicalPlan
from dcp_plugins_base.neighbours import of_the_call
from dcp_plugins_feature_platform.view import FeatureView, view_of


@attrs.frozen
class Neighbours:
    """All views of a call.

    Args:
        by_feature: The views that have a feature of that name, in lower case.
        by_entity: The views of an entity.
    """

    by_feature: Mapping[str, Sequence[FeatureView]]
    by_entity: Mapping[str, Sequence[FeatureView]]

    @classmethod
    def among(cls, logical_plans: Sequence[LogicalPlan]) -> Neighbours:
        """Those of the feature views among the plans of all types."""
        by_feature: defaultdict[str, list[FeatureView]] = defaultdict(list)
        by_entity: defaultdict[str, list[FeatureView]] = defaultdict(list)
        for each in logical_plans:
            if each.plugin_type == FeatureView.manifest_type:
                view = view_of(each)
                by_entity[view.entity].append(view)
                for name in dict.fromkeys(feature.lower() for feature in view.features):
                    by_feature[name].append(view)
        return cls(by_feature, by_entity)

    @classmethod
    def of(cls, ctx: Context) -> Neighbours:
        """Those of the call that ``ctx`` is of."""
        return of_the_call(ctx, "feature_platform.neighbours", cls.among)

    def with_feature(self, name: str, beside: FeatureView) -> list[FeatureView]:
        """The other views that have it."""
        return [view for view in self.by_feature.get(name.lower(), ()) if view.id != beside.id]

    def of_entity(self, beside: FeatureView) -> list[FeatureView]:
        """The other views of the same entity."""
        return [view for view in self.by_entity.get(beside.entity, ()) if view.id != beside.id]
