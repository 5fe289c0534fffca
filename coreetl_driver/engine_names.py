"""Names to which an engine gives a meaning of its own, where a query should name tables of the catalog alone.

Source: Spark 4's registered data sources and built-in functions; what Sail 0.7.2 reads by name was tried out.
"""

from __future__ import annotations

# What Spark and Sail generate rows from without reading anything.
TABLE_FUNCTIONS = frozenset(
    {
        "range", "explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack",
        "json_tuple", "sequence", "variant_explode", "variant_explode_outer",
    }
)  # fmt: skip
# A two-part name that starts with one of these is a file in that format, not a table: in Spark only where the catalog
# has no such table, in Sail always.
FILE_FORMATS = frozenset(
    {
        "text", "csv", "json", "jsonl", "parquet", "orc", "avro", "arrow", "delta", "iceberg", "hudi", "xml",
        "binaryfile", "libsvm", "image", "vortex", "ducklake", "lance",
    }
)  # fmt: skip
# With one of these an engine reads, or tries to, something that is neither a file nor a table: it opens a socket, makes
# rows for ever, reads a stream's state.
SOURCES = frozenset(
    {
        "socket", "rate", "rate-micro-batch", "rate_micro_batch", "console", "noop", "memory", "statestore",
        "state-metadata", "python", "python_data_source", "jdbc",
    }
)  # fmt: skip
# Data sources whose names are usual for namespaces too. By name alone an engine reads nothing from them, so that only a
# "table" that no namespace would have is refused.
SOURCES_OR_NAMESPACES = frozenset(
    {
        "kafka", "kinesis", "pubsub", "pulsar", "bigquery", "redshift", "snowflake", "mongodb", "cassandra", "hbase",
        "elasticsearch", "opensearch", "mysql", "postgresql", "sqlserver", "oracle", "excel", "deltasharing", "hive",
    }
)  # fmt: skip
# These run code, reach the network or the file system, or hide a table's name from this guard.
FORBIDDEN_FUNCTIONS = frozenset(
    {
        "java_method", "reflect", "try_reflect", "identifier", "read_files", "read_file", "read_csv", "read_json",
        "read_parquet", "read_text", "read_blob", "read_avro", "read_kafka", "read_kinesis", "read_pubsub",
        "read_pulsar", "read_statestore", "cloud_files", "cloud_files_state", "table_changes", "parquet_scan",
        "csv_scan", "delta_scan", "iceberg_scan", "glob", "load_file", "remote_query", "http_request", "ai_query",
        "secret", "try_secret", "list_secrets", "python_udtf",
    }
)  # fmt: skip
