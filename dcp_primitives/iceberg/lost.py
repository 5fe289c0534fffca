"""A table whose metadata file is gone: the catalog has its entry, and nobody can read what it was.

It is there, so it cannot be created, and it cannot be changed. Deleting it takes the entry out of the catalog.
"""

from __future__ import annotations

from dcp_core.model import Effect, FieldChange, Resource, State
from dcp_core.planning import owner_of


def state(resource: Resource, location: str | None) -> State:
    """What can be said of such a table: where its metadata should be.

    The mark is lost with the rest. The resource's own stands in: what is wanted is refused all the same (``changes``),
    and a deletion is only ever planned of what the inventory has, so of what DCP had made or taken over.
    """
    return State({}, owner_of(resource), location, {"metadata_lost": True, "metadata_location": location})


def is_lost(actual: State) -> bool:
    """Whether ``state`` made it."""
    return bool(actual.info.get("metadata_lost"))


def changes(name: str, desired: State | None, actual: State) -> tuple[FieldChange, ...]:
    """Refused, unless the table is to be deleted."""
    where = actual.info.get("metadata_location") or "its storage"
    if desired is None:
        why = f"takes the entry of table {name} out of the catalog; its metadata is gone already ({where})"
        return (FieldChange("table", name, None, Effect.DESTRUCTIVE, why),)
    why = (
        f"the catalog has table {name}, and its metadata file {where} is gone: bring the file back, "
        "or destroy the manifest, which takes the entry out of the catalog, and apply it anew"
    )
    return (FieldChange("metadata", "gone", "there", Effect.REFUSED, why),)


def folder(metadata_location: str) -> str:
    """The table's folder, of which only the place of its metadata is known."""
    return metadata_location.rpartition("/metadata/")[0] or metadata_location
