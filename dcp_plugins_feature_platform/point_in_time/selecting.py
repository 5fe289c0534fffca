"""Which feature of which view becomes which column of the training set.

One rule for names: a feature's column has its name; with full names, all have ``view__feature``. A request may always
use either. Names that differ in case alone clash, since SQL engines do not tell them apart.

Source: Feast's ``full_feature_names``.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from dcp_core.errors import InvalidSpecError
from dcp_plugins_feature_platform.point_in_time.history import History

FULL_NAMES_HINT = "--full-names names every column view__feature"


@attrs.frozen
class SelectedFeature:
    """One feature that was asked for.

    Args:
        column: In the history.
        output: In the training set.
        default: Takes the place of NULL; None leaves it NULL.
    """

    column: str
    output: str
    default: Any = None


@attrs.frozen
class FeatureHistory:
    """One view, ready to be joined.

    Args:
        name: The view's.
        history: Its rows.
        join_keys: Columns of the history, and of the labels under the same names.
        event_timestamp: A column of the history.
        ttl: How old a value may be, inclusive; None for as old as it gets.
        features: In the view's own order.
        defaults: By feature.
    """

    name: str
    history: History
    join_keys: tuple[str, ...]
    event_timestamp: str
    ttl: datetime.timedelta | None
    features: tuple[str, ...]
    defaults: Mapping[str, Any] = attrs.Factory(dict)


@attrs.frozen
class SelectedView:
    """A view and those of its features that are wanted, in the view's order; at least one."""

    view: FeatureHistory
    features: tuple[SelectedFeature, ...]


@attrs.frozen
class Selection:
    """What the training set adds to the labels.

    Args:
        views: Without those that nothing was asked of.
        outputs: The columns in the order in which they were asked for.
    """

    views: tuple[SelectedView, ...]
    outputs: tuple[str, ...]


def select(views: Sequence[FeatureHistory], wanted: Sequence[str] | None, *, full_names: bool) -> Selection:
    """Find each wanted feature; all of them when ``wanted`` is None.

    Raises:
        InvalidSpecError: A feature is unknown, ambiguous or asked for twice, or two would have one name. Never retried.
    """
    known = [(view, feature) for view in views for feature in view.features]
    found = known if wanted is None else [_find(name, known) for name in wanted]
    outputs = [f"{view.name}__{feature}" if full_names else feature for view, feature in found]
    taken: dict[str, tuple[FeatureHistory, str]] = {}
    for output, (view, feature) in zip(outputs, found, strict=True):
        other = taken.get(output.lower())
        if other is not None and other == (view, feature):
            raise InvalidSpecError(
                f'feature "{feature}" of {view.name} is asked for twice',
                code="features.name_clash",
                hint="once is enough",
            )
        if other is not None:
            raise InvalidSpecError(
                f'both {other[0].name} and {view.name} have a feature "{feature}"',
                hint=FULL_NAMES_HINT,
                code="features.name_clash",
            )
        taken[output.lower()] = (view, feature)
    chosen = {(id(view), feature): output for output, (view, feature) in zip(outputs, found, strict=True)}
    selected = tuple(SelectedView(view, _features(view, chosen)) for view in views)
    return Selection(tuple(each for each in selected if each.features), tuple(outputs))


def check_clashes(selection: Selection, label_columns: Sequence[str]) -> None:
    """No feature has the name of a label's column.

    Raises:
        InvalidSpecError: One has. Never retried.
    """
    taken = {name.lower(): name for name in label_columns}
    for output in selection.outputs:
        if output.lower() in taken:
            raise InvalidSpecError(
                f'the labels have a column "{taken[output.lower()]}" already, as the feature is named',
                hint=f"{FULL_NAMES_HINT}; or rename the labels' column",
                code="labels.name_clash",
            )


def _features(view: FeatureHistory, chosen: Mapping[tuple[int, str], str]) -> tuple[SelectedFeature, ...]:
    return tuple(
        SelectedFeature(feature, chosen[id(view), feature], view.defaults.get(feature))
        for feature in view.features
        if (id(view), feature) in chosen
    )


def _find(name: str, known: Sequence[tuple[FeatureHistory, str]]) -> tuple[FeatureHistory, str]:
    matches = [(view, feature) for view, feature in known if name in (feature, f"{view.name}__{feature}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        hint = " or ".join(f"{view.name}__{feature}" for view, feature in matches)
        raise InvalidSpecError(
            f'more than one view has a feature "{name}"', hint=f"write {hint}", code="features.ambiguous"
        )
    names = [feature for _, feature in known]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else "there are: " + ", ".join(names[:20])
    raise InvalidSpecError(f'no view has a feature "{name}"', hint=hint, code="features.unknown")
