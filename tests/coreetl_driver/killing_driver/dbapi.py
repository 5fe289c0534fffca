"""What ``importlib`` finds as an ADBC driver's ``dbapi``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import adbc_driver_sqlite.dbapi


def connect(uri: str, **rest: Any) -> Any:
    file = Path(unquote(uri.removeprefix("file:").partition("?")[0]))
    accident = Path(f"{file}.accident")
    what, _, batch = accident.read_text().partition(" ") if accident.is_file() else ("", "", "0")
    return Connection(adbc_driver_sqlite.dbapi.connect(uri, **rest), Path(f"{file}.go"), what, int(batch))


class Connection:
    def __init__(self, real: Any, go: Path, what: str, batch: int) -> None:
        self._real = real
        self.accident = (go, what, batch)

    def cursor(self, **rest: Any) -> Cursor:
        return Cursor(self._real.cursor(**rest), *self.accident)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Cursor:
    def __init__(self, real: Any, go: Path, what: str, batch: int) -> None:
        self._real = real
        self._accident = (go, what, batch)
        self._sql = ""

    def execute(self, sql: str, **rest: Any) -> Any:
        self._sql = sql
        return self._real.execute(sql, **rest)

    def fetch_record_batch(self) -> Iterator[Any]:
        go, what, batch = self._accident
        number = 0
        for number, each in enumerate(self._real.fetch_record_batch(), start=1):
            if "UNION ALL" in self._sql:  # the rows, not what describes them
                _happen(go, what, number == batch)
            yield each
        if "UNION ALL" in self._sql:
            _happen(go, what, batch > number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _happen(go: Path, what: str, now: bool) -> None:
    while now and what == "hold" and not go.exists():
        time.sleep(0.02)
