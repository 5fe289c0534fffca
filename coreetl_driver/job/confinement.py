"""The worker's last wall: a process that can write nowhere but to its own table's folder and its scratch folder.

The catalog endpoint guards commits, but an engine told to write to a path writes to it. On Linux with Landlock the
kernel refuses that, whatever the SQL or the engine does; elsewhere the query guard stands alone, and the log says so.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from coreetl_driver.job.sink_table import table_metadata

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_GET_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_WRITE_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 14, 1 << 13
_CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))  # make and remove files, folders, links, devices
_LOCATION_PROPERTIES = (
    "write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path",
)  # fmt: skip
_LOCAL = re.compile(r"(?:file:(?://)?)?(/.*)")


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine_writes(folders: Iterable[Path]) -> bool:
    """Let this thread, and all threads and processes it starts from now on, write beneath ``folders`` only.

    There is no way back. Reading is not touched. A folder that does not exist is made first.

    Returns:
        Whether the kernel does it; False where it has no Landlock.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < 1:
        return False
    beneath = _WRITE_FILE | _CHANGE_FOLDERS
    beneath |= _REFER if version >= 2 else 0
    beneath |= _TRUNCATE if version >= 3 else 0
    attributes = _RulesetAttributes(beneath)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            _allow(libc, ruleset, folder, beneath)
        _allow(libc, ruleset, Path(os.devnull), beneath & (_WRITE_FILE | _TRUNCATE))
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(_RESTRICT_SELF, ruleset, 0):
            raise OSError(ctypes.get_errno(), "Landlock refuses to confine this process")
    finally:
        os.close(ruleset)
    return True


def sink_folders(sink: Mapping[str, str], catalogs: Mapping[str, Mapping[str, str]]) -> tuple[Path, ...]:
    """The local folders of the one table that a job writes, asked of the catalog endpoint.

    Empty for a table that is not there (the write will say so) or that lives in an object store.

    Raises:
        JobError: The endpoint does not say: a worker without its folders could only fail later, for another reason.
    """
    metadata = table_metadata(sink, catalogs)
    if metadata is None:
        return ()
    properties = metadata.get("properties", {})
    locations = [metadata["location"], *(properties[key] for key in _LOCATION_PROPERTIES if key in properties)]
    matches = [_LOCAL.fullmatch(location) for location in locations]
    return tuple(Path(match.group(1)) for match in matches if match)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(access, handle)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0):
            raise OSError(ctypes.get_errno(), f"Landlock refuses {path}")
    finally:
        os.close(handle)
