"""Plans in files: what ``plan --out`` writes and ``apply --plan`` reads.

The document is ``{"format": "dcp.plan", "version": 1, "plan": …}``; whoever reads it refuses what it does not know.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_core.model import Plan

FORMAT = "dcp.plan"
VERSION = 1
_LARGEST_BYTES = 256 * 1024 * 1024


def save(plan: Plan, file: str) -> None:
    """Write ``plan`` whole or not at all, for this user alone to read.

    Raises:
        UsageError: The file cannot be written.
    """
    from dcp_core.documents import to_json
    from dcp_core.errors import UsageError

    text = json.dumps({"format": FORMAT, "version": VERSION, "plan": to_json(plan)}, indent=1, ensure_ascii=False)
    path = Path(file)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text + "\n")
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"cannot write the plan: {error.strerror}", where=file) from None


def read(file: str) -> Plan:
    """A plan as it was saved.

    Raises:
        UsageError: The file cannot be read, or is not a plan.
        ConflictError: Another version wrote it.
    """
    from dcp_core.documents import from_json
    from dcp_core.errors import ConflictError, UsageError
    from dcp_core.model import Plan

    try:
        if os.path.getsize(file) > _LARGEST_BYTES:
            raise UsageError("this is too large for a saved plan", where=file)
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the plan: {error.strerror}", where=file) from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError("this is not a saved plan", where=file, hint="`pretzel plan PATH --out FILE` makes one")
    if document.get("version") != VERSION:
        raise ConflictError(
            f"the plan has version {document.get('version')!r} of the format; expected {VERSION}",
            where=file,
            hint="plan again with the installed version",
        )
    try:
        return from_json(document.get("plan"), Plan)
    except ConflictError as error:
        error.where = file
        raise
