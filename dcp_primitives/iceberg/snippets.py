# ruff: noqa: S608 -- texts for people to paste; table names are checked, nothing here is executed
"""Ready-to-paste lines that query a table with other tools. No credential is ever among them.

A secret shows as the environment variable it comes from, or as ``<its name>`` when ``dcp.toml`` holds it in clear.

Sources: pyiceberg "Configuration"; DuckDB "Iceberg Extension"; Iceberg "Spark Configuration" and "JDBC"; Databricks
"What is Apache Iceberg in Databricks?"; Snowflake "CREATE ICEBERG TABLE" and "CREATE CATALOG INTEGRATION".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen

_SECRET = re.compile(r"token|credential|secret|password|access-?key|session|sas|auth", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPARK_RUNTIME = "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.0"


@frozen
class TableAddress:
    """Where a table is.

    Args:
        catalog: ``pedregal-playground-alice``.
        table: ``namespace.name``.
        properties: Of the catalog, for pyiceberg, ``${NAME}`` unresolved.
        location: The folder of its files.
        metadata_location: Its current metadata document.
        limit: How many rows to ask for.
    """

    catalog: str
    table: str
    properties: Mapping[str, str]
    location: str
    metadata_location: str
    limit: int = 10


def snippets(address: TableAddress) -> dict[str, str]:
    """By tool, in the order in which they are shown."""
    return {
        "pyiceberg": _pyiceberg(address),
        "DuckDB": _duckdb(address),
        "Spark": _spark(address),
        "Databricks": _databricks(address),
        "Snowflake": _snowflake(address),
    }


def _pyiceberg(address: TableAddress) -> str:
    return "\n".join(
        [
            *_load_table(address),
            f"print(table.scan(limit={address.limit}).to_arrow())",
        ]
    )


def _duckdb(address: TableAddress) -> str:
    name = address.table.rpartition(".")[2]
    lines = _load_table(address)
    return "\n".join(
        [
            '# pip install duckdb "pyiceberg[sql-sqlite,pyarrow]"',
            *lines,
            f'connection = table.scan().to_duckdb("{name}")',
            f"print(connection.sql('SELECT * FROM \"{name}\" LIMIT {address.limit}'))",
            "# or, in the DuckDB shell:",
            "#   INSTALL iceberg; LOAD iceberg;",
            f"#   SELECT * FROM iceberg_scan({_quoted(address.metadata_location)}) LIMIT {address.limit};",
        ]
    )


def _load_table(address: TableAddress) -> list[str]:
    expressions = {name: _python(name, value) for name, value in sorted(address.properties.items())}
    lines = ["import os"] if any("os.environ" in text for text in expressions.values()) else []
    return [
        *lines,
        "from pyiceberg.catalog import load_catalog",
        f"catalog = load_catalog({address.catalog!r}, **{{",
        *(f"    {name!r}: {text}," for name, text in expressions.items()),
        "})",
        f"table = catalog.load_table({address.table!r})",
    ]


def _spark(address: TableAddress) -> str:
    prefix = f"spark.sql.catalog.{address.catalog}"
    options = {prefix: "org.apache.iceberg.spark.SparkCatalog"}
    options.update({f"{prefix}.{name}": value for name, value in _spark_properties(address.properties).items()})
    packages = _SPARK_RUNTIME
    if address.properties.get("uri", "").startswith("sqlite"):
        packages += ",org.xerial:sqlite-jdbc:3.50.3.0"
    elif is_jdbc(address.properties):
        packages += ",org.postgresql:postgresql:42.7.7"
    return "\n".join(
        [
            f"spark-sql --packages {packages} \\",
            *(f"  --conf {_shell(f'{name}={value}')} \\" for name, value in options.items()),
            f"  -e {_shell(f'SELECT * FROM {_dotted(address)} LIMIT {address.limit}')}",
        ]
    )


def _databricks(address: TableAddress) -> str:
    if "unity-catalog" in address.properties.get("uri", ""):
        catalog = address.properties.get("warehouse", address.catalog)
        namespace, _, name = address.table.rpartition(".")
        return f"SELECT * FROM `{catalog}`.`{namespace}`.`{name}` LIMIT {address.limit}"
    lines = [
        f"# On a cluster with the library {_SPARK_RUNTIME} that can read the table's storage:",
        f'spark.read.format("iceberg").load({address.location!r}).limit({address.limit}).show()',
    ]
    if _is_local(address.location):
        lines.insert(0, "# The table lies on this machine's disk: copy it to cloud storage, or use a shared catalog.")
    return "\n".join(lines)


def _snowflake(address: TableAddress) -> str:
    namespace, _, name = address.table.rpartition(".")
    if address.properties.get("type") == "rest":
        uri = _without_password(address.properties.get("uri", ""))
        return "\n".join(
            [
                "CREATE CATALOG INTEGRATION IF NOT EXISTS dcp_catalog",
                "  CATALOG_SOURCE = ICEBERG_REST TABLE_FORMAT = ICEBERG ENABLED = TRUE",
                f"  CATALOG_NAMESPACE = {_quoted(namespace)}",
                f"  REST_CONFIG = (CATALOG_URI = {_quoted(uri)})",
                "  REST_AUTHENTICATION = (TYPE = BEARER BEARER_TOKEN = '<token>');",
                f"CREATE ICEBERG TABLE IF NOT EXISTS {name}",
                f"  CATALOG = 'dcp_catalog' CATALOG_TABLE_NAME = {_quoted(name)} EXTERNAL_VOLUME = '<volume>';",
                f"SELECT * FROM {name} LIMIT {address.limit};",
            ]
        )
    path = address.metadata_location.removeprefix(address.location.rpartition("/")[0] + "/")
    lines = [
        "CREATE CATALOG INTEGRATION IF NOT EXISTS dcp_files",
        "  CATALOG_SOURCE = OBJECT_STORE TABLE_FORMAT = ICEBERG ENABLED = TRUE;",
        f"CREATE ICEBERG TABLE IF NOT EXISTS {name}",
        "  EXTERNAL_VOLUME = '<a volume over the folder that holds the table>' CATALOG = 'dcp_files'",
        f"  METADATA_FILE_PATH = {_quoted(path)};",
        f"SELECT * FROM {name} LIMIT {address.limit};",
    ]
    if _is_local(address.location):
        lines.insert(0, "-- The table lies on this machine's disk: copy it to cloud storage first.")
    return "\n".join(lines)


def is_jdbc(properties: Mapping[str, str]) -> bool:
    """Whether Spark reaches the catalog over JDBC."""
    return properties.get("type") == "sql"


def _spark_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """What Iceberg's Java catalogs call the same properties."""
    shown: dict[str, str] = {}
    for name, value in sorted(properties.items()):
        if name == "type":
            shown["type"] = "jdbc" if is_jdbc(properties) else value
        elif name == "uri" and is_jdbc(properties):
            shown["uri"] = _jdbc(value)
        elif _hidden(name, value):
            shown[name] = _reference(value) or f"<{name}>"
        else:
            shown[name] = _REFERENCE.sub(r"$\1", _without_password(value))
    if is_jdbc(properties):
        shown["jdbc.schema-version"] = "V1"
    return shown


def _jdbc(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        return f"jdbc:sqlite:{rest[1:]}"
    return f"jdbc:{scheme.partition('+')[0]}://{_without_password(uri).partition('://')[2].rpartition('@')[2]}"


def _python(name: str, value: str) -> str:
    variable = _REFERENCE.fullmatch(value)
    if variable:
        return f'os.environ["{variable.group(1)}"]'
    if _hidden(name, value):
        return repr(f"<{name}>")
    value = _without_password(value)
    if _REFERENCE.search(value):
        return f"os.path.expandvars({value!r})"
    return repr(value)


def _hidden(name: str, value: str) -> bool:
    return bool(_SECRET.search(name)) and value.lower() not in ("", "true", "false", "none")


def _reference(value: str) -> str | None:
    match = _REFERENCE.fullmatch(value)
    return f"${match.group(1)}" if match else None


def _without_password(value: str) -> str:
    """A URL without the password in it; ``${NAME}`` references stay."""
    if "://" not in value or "@" not in value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return "<uri>"
    user, at, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    if at and colon and not _REFERENCE.fullmatch(password):
        return urlunsplit(parts._replace(netloc=f"{name}:<password>@{host}"))
    return value


def _is_local(location: str) -> bool:
    return "://" not in location or location.startswith("file:")


def _dotted(address: TableAddress) -> str:
    return ".".join(f"`{part}`" for part in (address.catalog, *address.table.split(".")))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _shell(text: str) -> str:
    """For a shell: ``$NAME`` is filled in, nothing else is."""
    escaped = re.sub(r'(["\\`])', r"\\\1", text)
    return f'"{escaped}"'
