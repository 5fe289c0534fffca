"""A manifest: YAML with the position of every value, and the files beside it.

The YAML is a plain subset: one document, mappings with unique text keys, no tags, bounded in size, depth and
the number of values (so that an alias bomb ends in an error). Files beside it are read through ``read`` only,
which stays below the project root and records digests.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs

from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import InvalidManifestError
from dcp_core.model import Source
from dcp_core.yaml_positions import Position, load_yaml

MAX_FILE_BYTES = 1024 * 1024
MAX_NAME_LENGTH = 1024
SUFFIXES = (".yaml", ".yml")


@attrs.frozen(eq=False)
class Manifest:
    """One manifest as written.

    Args:
        file: As messages show it: relative to the project root where it lies below it.
        path: Absolute.
        root: The folder that ``read`` stays in, absolute and resolved.
        data: Plain dicts, lists, strings, numbers; dates stay text.
        positions: Where each value is, by field path; ``(*path, KEY)`` is where its key is.
        digest: Of the bytes, ``sha256:…``.
    """

    file: str
    path: Path
    root: Path
    data: Any
    positions: Mapping[FieldPath, Position]
    digest: str
    files: dict[str, str] = attrs.field(factory=dict, repr=False)

    @classmethod
    def load(cls, path: Path, root: Path) -> Manifest:
        """Read and parse ``path``.

        Args:
            path: The YAML file.
            root: The project root; a manifest outside it is confined to its own folder.

        Raises:
            InvalidManifestError: It cannot be read or is not a manifest's YAML; has the position.
        """
        path = Path(os.path.abspath(path))
        root = root.resolve()
        real = Path(os.path.realpath(path))  # Path.resolve raises on a loop of links
        below = real.is_relative_to(root)
        file = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        content = _read_bytes(path, file)
        text = _decode(content, file)
        data, positions = load_yaml(text, file)
        digest = _digest(content)
        return cls(file, path, root if below else real.parent, data, positions, digest)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.path.parent

    def read(self, name: str, *, path: FieldPath | None = None) -> str:
        """The text of a file that the manifest names, relative to the manifest's folder.

        Args:
            name: As written in the manifest.
            path: The field that names it, for the error.

        Raises:
            InvalidManifestError: Outside the project, missing, too large, or not UTF-8.
        """

        def refuse(code: str, message: str, hint: str | None = None) -> NoReturn:
            finding = Diagnostic(Severity.ERROR, code, message, path=path, hint=hint)
            raise InvalidManifestError([self.locate(finding)])

        if not name or "\0" in name:
            refuse("file.name", "the file's name is empty or has a NUL character")
        if len(name) > MAX_NAME_LENGTH:
            refuse("file.name", f"the file's name has {len(name):,} characters; at most {MAX_NAME_LENGTH:,} are taken")
        target = Path(os.path.realpath(self.folder / name))
        if not target.is_relative_to(self.root):
            refuse("file.outside", f'"{name}" is outside the project', "keep it beside the manifest")
        if not os.path.isfile(target):  # False, where Path.is_file raises for a name that is too long
            refuse("file.missing", f'"{name}" does not exist', f"expected it beside the manifest: {self._show(target)}")
        try:
            content = _read_bytes(target, self._show(target))
            text = _decode(content, self._show(target))
        except InvalidManifestError as error:
            raise InvalidManifestError(
                [attrs.evolve(each, hint=each.hint or "named by " + self.file) for each in error.diagnostics]
            ) from None
        self.files[name] = _digest(content)
        return text

    def source(self) -> Source:
        """Which files were read so far, for the logical plan."""
        return Source(self.file, self.digest, dict(self.files))

    def locate(self, diagnostic: Diagnostic) -> Diagnostic:
        """Fill in file, line and column: of the field it names, else of the file beside the manifest."""
        if diagnostic.file is not None:
            if diagnostic.file == self.file or Path(diagnostic.file).is_absolute():
                return diagnostic
            target = Path(os.path.realpath(self.folder / diagnostic.file))
            return attrs.evolve(diagnostic, file=self._show(target)) if os.path.isfile(target) else diagnostic
        path = diagnostic.path or ()
        position = self.positions.get(path)
        while position is None and path:
            path = path[:-1]
            position = self.positions.get(path)
        line, column = position if position else (1, 1)
        return attrs.evolve(diagnostic, file=self.file, line=line, column=column)

    def _show(self, target: Path) -> str:
        return target.relative_to(self.root).as_posix() if target.is_relative_to(self.root) else str(target)


def _read_bytes(path: Path, file: str) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            _refuse("file.size", f"the file has {size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read", file)
        if not path.is_file():
            _refuse("file.kind", "this is not a regular file", file)
        return path.read_bytes()
    except OSError as error:
        _refuse("file.unreadable", f"cannot be read: {error.strerror}", file)


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content = content.removeprefix(codecs.BOM_UTF8)  # error.start counts from after it
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[content.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        finding = Diagnostic(
            Severity.ERROR, "file.encoding", f"not UTF-8: byte 0x{content[error.start]:02x}",
            file=file, line=line, column=column, hint="save the file as UTF-8",
        )  # fmt: skip
        raise InvalidManifestError([finding]) from None


def _refuse(code: str, message: str, file: str) -> NoReturn:
    raise InvalidManifestError([Diagnostic(Severity.ERROR, code, message, file=file)])


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
