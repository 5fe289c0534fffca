"""Sections ``[connections.NAME]``: where a source database is, and who asks.

What a job holds is the name alone. An address is resolved when the source is opened, and shown without what could be
a secret: user information and everything after ``?`` are left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import attrs

from dcp_core.errors import NotFoundError, SettingsError
from dcp_core.settings import MASK, Secret, Settings, masked

SECTION = "connections"
_VARIABLE = "DCP_CONNECTIONS_"
_NO_PASSWORD = Secret("")
_EXAMPLE = """\
[connections.shop]
uri = "postgresql://reader@db.example.com:5432/shop"
password = "${SHOP_PASSWORD}\""""


_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_KEY_AND_VALUE = re.compile(r"([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def shown_uri(uri: str) -> str:
    """An address for people: scheme, host, port and path; nothing of one that is not of the form ``scheme://…``.

    Where a reserved character of a password is not escaped, nobody knows where the password ends: an ``@`` behind the
    host tells of that.
    """
    if not _SCHEME.match(uri):
        return MASK
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
        is_clear = "@" not in parts.path + parts.query + parts.fragment
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}" if is_clear else MASK
    except ValueError:
        return MASK


def _shown_options(options: Mapping[str, str]) -> str:
    return repr({key: masked(key, value) for key, value in options.items()})


@attrs.frozen
class ConnectionSettings:
    """One section ``[connections.NAME]``.

    Args:
        uri: ``sqlite:///{root}/shop.db``, ``postgresql://reader@host:5432/shop`` …; the scheme picks the driver.
        username: In place of one in ``uri``.
        password: In place of one in ``uri``, as it is: nothing of it needs escaping.
        driver: A Python package of an ADBC driver (``adbc_driver_snowflake``), or ``connectorx``, in place of the one
            that the scheme picks. It must be installed where the driver runs.
        options: Further options of the ADBC driver's database.
    """

    uri: str = attrs.field(default="", repr=shown_uri)
    username: str = ""
    password: Secret = _NO_PASSWORD
    driver: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict, repr=_shown_options)


@attrs.frozen
class Connection:
    """A connection with every reference resolved: for a moment, in memory only.

    Args:
        name: As the settings have it.
    """

    name: str
    uri: str = attrs.field(repr=shown_uri)
    username: str = ""
    password: Secret = _NO_PASSWORD
    driver: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict, repr=_shown_options)

    @property
    def scheme(self) -> str:
        """``postgresql`` of ``postgresql+psycopg://…``, in lower case; empty when there is none before ``://``.

        Whatever else stands before a colon may be a password: ``host=db password=…``, ``user:password@host``.
        """
        found = _SCHEME.match(self.uri)
        return found.group(1).partition("+")[0].lower() if found else ""

    @property
    def uri_with_user(self) -> str:
        """The address with ``username`` and ``password`` in it, escaped: for drivers that take one text."""
        if not self.username and not self.password:
            return self.uri
        parts = urlsplit(self.uri)
        user = quote(self.username, safe="") if self.username else quote(unquote(parts.username or ""), safe="")
        password = self.password.reveal() or unquote(parts.password or "")
        place = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{user}{':' + quote(password, safe='') if password else ''}@{place}").geturl()

    def scrubbed(self, text: str) -> str:
        """``text`` without this connection's secrets, whoever put them there."""
        secrets = {self.uri, self.uri_with_user, self.password.reveal(), *_secrets_in(self.uri)}
        secrets |= {value for key, value in self.options.items() if masked(key, value) != value}
        secrets |= {unquote(secret) for secret in secrets} | {quote(secret, safe="") for secret in secrets}
        for secret in sorted(secrets, key=len, reverse=True):
            if secret:
                text = text.replace(secret, MASK)
        return text

    def to_json(self) -> dict[str, Any]:
        """For a worker's standard input, and nowhere else: secrets in clear."""
        document = attrs.asdict(self)
        return {**document, "password": self.password.reveal(), "options": dict(self.options)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Connection:
        """The inverse of ``to_json``."""
        return cls(**{**value, "password": Secret(value["password"])})


def connection_names(settings: Settings) -> tuple[str, ...]:
    """The connections of ``dcp.toml``, and those that ``DCP_CONNECTIONS_<NAME>_URI`` alone describes."""
    names = dict.fromkeys(settings.subsections(SECTION))
    written = {_in_variable(name) for name in names}
    for variable in settings.environ:
        found = re.fullmatch(_VARIABLE + r"(.+)_URI", variable)
        if found and found.group(1) not in written:
            names[found.group(1).lower()] = None
    return tuple(names)


def require_connection(settings: Settings, name: str) -> None:
    """Check that a connection is there and its keys are known, without a look at its values.

    Raises:
        NotFoundError: There is no such connection; the nearest name is suggested. Never retried.
        SettingsError: A key is unknown. Never retried.
    """
    known = connection_names(settings)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known connections: {', '.join(known)}"
        raise NotFoundError(
            f"there is no connection {name!r}",
            where=str(settings.file) if settings.file else None,
            hint=hint if known else f"add to dcp.toml:\n{_EXAMPLE}",
            code="connection.unknown",
        )
    fields = [field.name for field in attrs.fields(ConnectionSettings)]
    for key in settings.subsections(SECTION).get(name, {}):
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            raise SettingsError(
                f"[{SECTION}.{name}] has no setting {key!r}",
                where=str(settings.file) if settings.file else None,
                hint=f'did you mean "{near[0]}"?' if near else f"known settings: {', '.join(fields)}",
            )


def resolved_connection(settings: Settings, name: str) -> Connection:
    """A connection with its references replaced and its placeholders filled.

    Raises:
        NotFoundError: There is no such connection.
        SettingsError: A key is unknown, a variable is not set, or there is no address. It shows no value.
    """
    require_connection(settings, name)
    section = f"{SECTION}.{name}"
    own = attrs.evolve(settings, values={section: settings.subsections(SECTION).get(name, {})})
    found = own.section(section, ConnectionSettings)
    where = str(settings.file) if settings.file else None
    if not found.uri:
        raise SettingsError(f"[{section}] has no uri", where=where, hint=f"for example:\n{_EXAMPLE}")
    if not _is_clear(found.uri):
        raise SettingsError(
            f"[{section}] uri cannot be taken apart: a character of its user or password has a meaning in addresses",
            where=where,
            hint="write username = … and password = … as settings of their own, where nothing needs escaping; "
            "in a uri @ is %40, / is %2F, : is %3A, # is %23 and ? is %3F",
        )
    options = {key: str(value) for key, value in found.options.items()}
    uri = found.uri
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        path = uri.removeprefix("sqlite:///")  # from where dcp.toml is, wherever somebody stands
        uri = f"sqlite:///{settings.root / path}" if path and not path.startswith(":") else uri
    return Connection(name, uri, found.username, found.password, found.driver, options)


def _is_clear(uri: str) -> bool:
    """Whether nobody can take a part of the password for the host, the port or the path; drivers show those."""
    if not _SCHEME.match(uri) or uri.startswith("sqlite:"):  # told elsewhere; a path
        return True
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises for what is no number
    except ValueError:
        return False
    beyond = [parts.path, parts.fragment, *(each for each in parts.query.split("&") if "=" not in each)]
    return parts.netloc.count("@") <= 1 and not any("@" in part for part in beyond)


def _secrets_in(uri: str) -> set[str]:
    """The password of an address, escaped as it should be or not, and its query's secrets."""
    user, separator, _ = uri.partition("://")[2].rpartition("@")
    found = {user.partition(":")[2]} if separator else set()
    for each in uri.partition("?")[2].split("&"):
        key, _, value = each.partition("=")
        if masked(key, value) != value:
            found.add(value)
    for key, value in _KEY_AND_VALUE.findall(uri):  # libpq's other form: host=db password='…'
        if masked(key, value) != value:
            found |= {value, value.strip("'")}
    return found


def _in_variable(name: str) -> str:
    return name.upper().replace(".", "_").replace("-", "_")
