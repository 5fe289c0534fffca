"""``dcp.toml`` and the environment, structured into the attrs settings class of each component.

Order: the class's defaults, then the file, then ``DCP_<SECTION>_<KEY>``. ``${NAME}`` in a value reads the
environment when the value is used, so that what is stored or shown holds the reference and not the secret.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
import cattrs

from dcp_core.errors import SettingsError

T = TypeVar("T")

CONFIG_FILE = "dcp.toml"
STATE_FOLDER = ".dcp"
MASK = "***"
_CATALOG_VARIABLE = "DCP_CATALOG_"
_SECRETIVE = (
    r"secret|password|passwd|passphrase|pwd|token|credential|sas|authorization|"
    r"(?:access|account|api|private|encryption|sse)[-_.]?key"
)
_SECRET_NAME = re.compile(_SECRETIVE, re.IGNORECASE)
# A password that nobody escaped holds / and @ too, so it ends at the last @; one that is a reference ends with it.
_URI_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):(?!(?:\$\{\w+\})+@).*@", re.DOTALL)
_NAMED_SECRET = re.compile(
    rf"""(?<![\w.-])([\w.-]*(?:{_SECRETIVE})[\w.-]*\s*=\s*)(?!\$\{{\w+\}})("[^"]*"|'[^']*'|[^&;\s]+)""", re.IGNORECASE
)
# Sections that every installation has; a name close to one of them is a slip of the pen.
_SECTIONS = (
    "airflow",
    "audit",
    "auth",
    "catalog",
    "catalogs",
    "connections",
    "controller",
    "coreetl",
    "coreetl_server",
    "coreetl_tokens",
    "credentials",
    "extensions",
    "identity",
    "kafka",
    "openlineage",
    "playground",
    "remote",
    "server",
    "store",
    "telemetry",
)
# The names of durations end with their unit.
_A_NUMBER_IN_S = re.compile(r"(expected a (?:whole )?number)(?= @ \[[^\]]*\]\S*_s(?:;|$))")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CATALOG_DEFAULTS = {
    "type": "sql",
    "uri": "sqlite:///{state}/catalog.db",
    "warehouse": "file://{state}/warehouse/{catalog}",
}


class Secret(str):
    """A string that never shows itself: ``repr``, formatting and logs print ``***``; ``reveal()`` gives it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return str.__str__(self)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder, from ``start`` upwards, that has a ``dcp.toml``; else ``start``.

    Source: design.md section 14.
    """
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / CONFIG_FILE).is_file():
            return candidate
    return folder


@attrs.frozen
class Settings:
    """All the settings of a project, structured a section at a time.

    Args:
        root: The project root, absolute.
        values: What ``dcp.toml`` holds.
        environ: The process environment at start.
        file: Where ``values`` came from, None when there is no file.
    """

    root: Path
    values: Mapping[str, Any] = attrs.Factory(dict)
    environ: Mapping[str, str] = attrs.field(factory=lambda: dict(os.environ), repr=False)
    file: Path | None = None

    @classmethod
    def load(cls, config: Path | str | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
        """Read ``config`` (a ``dcp.toml``), or the one of the project around the working folder.

        Raises:
            SettingsError: The file is missing (when named), unreadable, or not TOML. Never retried.
        """
        environment = dict(os.environ if environ is None else environ)
        if config is None:
            root = find_root()
            path = root / CONFIG_FILE
            if not path.is_file():
                return cls(root, {}, environment)
        else:
            path = Path(os.path.realpath(config))  # Path.resolve raises on a loop of links
            root = path.parent
        try:
            settings = cls(root, tomllib.loads(path.read_text(encoding="utf-8")), environment, path)
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SettingsError(f"{path} is not UTF-8 (byte {error.start})") from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path} is not valid TOML: {error}") from None
        settings._check_sections()
        return settings

    @property
    def state(self) -> Path:
        """The folder of everything embedded: state, catalog, warehouse, DAGs, driver."""
        return self.root / STATE_FOLDER

    def section(self, name: str, cls: type[T]) -> T:
        """The section ``[name]`` as ``cls``, an attrs class with defaults.

        A field whose metadata has ``secret=True`` must be typed ``Secret``. Placeholders ``{root}`` and
        ``{state}`` in strings are filled in, ``${NAME}`` references are resolved.

        Raises:
            SettingsError: An unknown key (the nearest one is suggested), a wrong type, a missing variable.
        """
        raw = self.values.get(name, {})
        if not isinstance(raw, Mapping):
            raise self._error(f"[{name}] must be a table, got {type(raw).__name__}")
        fields = {field.name: field for field in attrs.fields(cls)}  # type: ignore[arg-type]
        for key in raw:
            if key not in fields:
                raise self._error(f"[{name}] has no setting {key!r}", hint=_nearest(key, fields))
        merged = dict(raw)
        for key in fields:
            variable = f"DCP_{name}_{key}".upper().replace(".", "_").replace("-", "_")
            if variable in self.environ:
                merged[key] = self.environ[variable]
            elif key not in merged and isinstance(fields[key].default, str):
                merged[key] = fields[key].default  # a default may hold placeholders too
        filled = {key: self._fill(value, f"[{name}] {key}") for key, value in merged.items()}
        try:
            return _converter().structure(filled, cls)
        except cattrs.BaseValidationError as group:
            problems = "; ".join(cattrs.transform_error(group, path=f"[{name}]", format_exception=_in_words))
            problems = _A_NUMBER_IN_S.sub(r"\1 of seconds", problems)
            tables = [key for key, value in merged.items() if isinstance(value, Mapping)]
            lists = [key for key in tables if f"expected a list @ [{name}].{key}" in problems]
            raise self._error(problems, hint=f"write [[{name}.{lists[0]}]]" if lists else None) from None

    def subsections(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        """The tables ``[name.X]`` by X, unresolved: for settings keyed by a user's own names."""
        raw = self.values.get(name, {})
        if not isinstance(raw, Mapping) or not all(isinstance(value, Mapping) for value in raw.values()):
            raise self._error(f"[{name}] must hold tables only: [{name}.NAME]")
        return raw

    def catalog_properties(self, catalog: str, *, resolve: bool = True) -> dict[str, str]:
        """The pyiceberg properties of one catalog: ``[catalog]`` for all, ``[catalogs.NAME]`` for one.

        ``DCP_CATALOG_<NAME>`` wins; in NAME ``__`` stands for a dot and ``_`` for a hyphen.

        Args:
            catalog: ``pedregal`` or ``pedregal-playground-<user>``.
            resolve: Whether ``${NAME}`` references are replaced; False gives what may be stored and shown: the
                references, and ``***`` for a secret that was written out.
        """
        base = self.values.get("catalog", {})
        if not isinstance(base, Mapping):
            raise self._error(f"[catalog] must be a table, got {type(base).__name__}")
        merged = {**_dotted(base), **_dotted(self.subsections("catalogs").get(catalog, {}))}
        for variable in self.environ:
            if variable.startswith(_CATALOG_VARIABLE):
                name = variable.removeprefix(_CATALOG_VARIABLE).lower().replace("__", ".").replace("_", "-")
                merged[name] = f"${{{variable}}}"
        if not merged.keys() & {"type", "uri", "py-catalog-impl"}:
            merged = {**_CATALOG_DEFAULTS, **merged}
        values = {"root": str(self.root), "state": str(self.state), "catalog": catalog}
        properties = {key: _placeholders(value, values) for key, value in merged.items()}
        if not resolve:
            return {key: masked(key, value) for key, value in properties.items()}
        return {key: self.resolve(value, f"[catalog] {key}") for key, value in properties.items()}

    def resolve(self, value: str, where: str) -> str:
        """``value`` with every ``${NAME}`` replaced from the environment.

        Raises:
            SettingsError: A variable is not set; the message names it, never a value.
        """

        def lookup(match: re.Match[str]) -> str:
            try:
                return self.environ[match.group(1)]
            except KeyError:
                raise self._error(f"{where} refers to ${{{match.group(1)}}}, which is not set") from None

        return _REFERENCE.sub(lookup, value)

    def _check_sections(self) -> None:
        for name, value in self.values.items():
            if not isinstance(value, Mapping):
                raise self._error(f"{name!r} stands outside every section", hint="[section] comes before its settings")
            near = difflib.get_close_matches(name.lower(), _SECTIONS, n=1, cutoff=0.75)
            if name not in _SECTIONS and near:
                raise self._error(f"there is no section [{name}]", hint=f'did you mean "{near[0]}"?')

    def _fill(self, value: Any, where: str) -> Any:
        if isinstance(value, str):
            return self.resolve(_placeholders(value, {"root": str(self.root), "state": str(self.state)}), where)
        if isinstance(value, list):
            return [self._fill(item, where) for item in value]
        if isinstance(value, Mapping):
            return {key: self._fill(item, where) for key, item in value.items()}
        return value

    def _error(self, message: str, hint: str | None = None) -> SettingsError:
        return SettingsError(message, where=str(self.file) if self.file else None, hint=hint)


def masked(name: str, value: str) -> str:
    """``value`` as it may be shown and stored: references stay, a secret that is written out becomes ``***``.

    Args:
        name: What the value is called; "" when that tells nothing.
        value: Of any kind: an address loses its password, and ``password=…`` in any text its value.
    """
    if _SECRET_NAME.search(name):
        return value if _REFERENCE.search(value) else MASK
    return _NAMED_SECRET.sub(rf"\1{MASK}", _URI_PASSWORD.sub(rf"\1:{MASK}@", value))


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``s3.endpoint = …`` is a table in a table to TOML and one dotted name to everybody else."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(_dotted(value, f"{prefix}{key}."))
        else:
            # TOML's true is Python's True; the properties of catalogs are text.
            flat[prefix + key] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _placeholders(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        # A reference, ${name}, is not a placeholder.
        text = value.join(re.split(r"(?<!\$)\{" + name + r"\}", text))
    return text


def _in_words(error: BaseException, kind: type | None) -> str:
    """One problem of a value, without Python's own names for types."""
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        return "expected one of: " + ", ".join(map(str, choices))
    if isinstance(error, KeyError):
        return "it is missing"
    if kind in (int, float) and any(said in str(error) for said in ("literal", "could not convert")):
        return "expected a whole number" if kind is int else "expected a number"
    words = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return words.splitlines()[0] if words else type(error).__name__


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f'did you mean "{close[0]}"?' if close else "known settings: " + ", ".join(sorted(known))


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(bool, _structure_bool)
    converter.register_structure_hook(int, _structure_int)
    converter.register_structure_hook(str, _structure_str)
    converter.register_structure_hook_func(
        _is_open_tuple,
        lambda value, kind: tuple(converter.structure(each, get_args(kind)[0]) for each in _listed(value)),
    )
    converter.register_structure_hook(Secret, lambda value, _type: Secret(_structure_str(value, str)))
    converter.register_structure_hook(Path, lambda value, _type: Path(value))
    return converter


def _is_open_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[1:] == (...,)


def _structure_int(value: Any, _type: type) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("expected a whole number")
    return int(value)


def _structure_str(value: Any, _type: type) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("expected text")
    return str.__str__(value) if isinstance(value, str) else str(value)


def _listed(value: Any) -> Sequence[Any]:
    """A list as it is; text, all that an environment variable can hold, is split at commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a list")
    return value


def _structure_bool(value: Any, _type: type) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "yes", "on"):
        return True
    if str(value).lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"expected true or false, got {value!r}")
