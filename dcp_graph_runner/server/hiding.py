"""A caller's own tokens are taken out of whatever is kept, answered or told of their call: plugins quote what fails.

Only out of words: a token may be any text that its caller likes, and who did what, where and how it ended is told as it
is. What is logged is ``logs``' to see to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import attrs

from dcp_core.digests import JsonValue
from dcp_core.documents import from_json, to_json
from dcp_core.records import ActionResult, AuditRecord, Operation, OperationStatus, Preview
from dcp_core.settings import MASK, Secret
from dcp_core.store import Holder, InventoryChange, Lease, StepStatus
from dcp_graph_runner.api.messages import CommandAnswer
from dcp_graph_runner.database import Database
from dcp_graph_runner.server.logs import CURRENT, SHORTEST_SECRET
from dcp_graph_runner.sql_store import SqlStore

Secrets = tuple[str, ...]
T = TypeVar("T")
_NONE: Mapping[str, Secret] = {}
_WORDS = ("message", "error", "where", "hint", "why", "note")
"""Fields that hold what somebody says, and nothing that is looked up, compared or counted."""


def own_secrets(credentials: Mapping[str, Secret] = _NONE) -> Secrets:
    """Of the call that this thread works for, and these; the longest first, for one may be a part of another."""
    call = CURRENT.get()
    found = {each.reveal() for each in credentials.values()} | set(call.secrets if call is not None else ())
    return tuple(sorted({each for each in found if len(each) >= SHORTEST_SECRET}, key=len, reverse=True))


def without(text: str, secrets: Secrets) -> str:
    """A text as it may be told."""
    for each in secrets:
        text = text.replace(each, MASK)
    return text


def without_in(document: JsonValue, secrets: Secrets) -> JsonValue:
    """A document of the model as it may be told: its words without the secrets, everything else as it is."""
    return _without_in(document, secrets, is_words=False) if secrets else document


def shown(value: T, secrets: Secrets) -> T:
    """An object of the model as it may be told; itself when there is nothing to hide."""
    if not secrets:
        return value
    document = to_json(value)
    told = without_in(document, secrets)
    return value if told == document else from_json(told, type(value))


def answered(answer: T, secrets: Secrets) -> T:
    """The answer of a call as its caller may have it; what a plugin's command gave is words from end to end.

    Its files are not: with a byte changed one may not be readable any more.
    """
    if not isinstance(answer, CommandAnswer) or not secrets:
        return answer
    value, preview = _without_all(answer.value, secrets), answer.preview
    if preview is not None:
        preview = from_json(_without_all(to_json(preview), secrets), Preview)
    return attrs.evolve(answer, value=value, preview=preview)


class HidingStore(SqlStore):
    """As ``SqlStore``, for one call: its secrets stay out of what is kept. Others' close the database.

    Args:
        database: The replica's.
        clock: UTC now.
        is_gone: Whether a holder's process has ended for certain.
        secrets: What must not be kept.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], is_gone: Callable[[Holder], bool], secrets: Secrets
    ) -> None:
        super().__init__(database, clock, is_gone)
        self._secrets = secrets

    def finish_step(
        self,
        lease: Lease,
        key: str,
        status: StepStatus,
        result: JsonValue,
        inventory: Sequence[InventoryChange] = (),
    ) -> None:
        """See ``Journal.finish_step``."""
        super().finish_step(lease, key, status, without_in(result, self._secrets), inventory)

    def finish(
        self,
        lease: Lease,
        status: OperationStatus,
        results: Sequence[ActionResult],
        error: str | None,
        audit: AuditRecord,
    ) -> Operation:
        """See ``Journal.finish``."""
        told = tuple(shown(each, self._secrets) for each in results)
        words = None if error is None else without(error, self._secrets)
        return super().finish(lease, status, told, words, shown(audit, self._secrets))

    def append_audit(self, record: AuditRecord) -> None:
        """See ``Store.append_audit``."""
        super().append_audit(shown(record, self._secrets))

    def announce_audit(self, record: AuditRecord, holder: Holder) -> None:
        """See ``Store.announce_audit``."""
        super().announce_audit(shown(record, self._secrets), holder)

    def close(self) -> None:
        """Nothing: the database is the replica's."""


def _without_in(document: JsonValue, secrets: Secrets, *, is_words: bool) -> JsonValue:
    if isinstance(document, str):
        return without(document, secrets) if is_words else document
    if isinstance(document, list):
        return [_without_in(each, secrets, is_words=is_words) for each in document]
    if isinstance(document, dict):
        return {name: _without_in(value, secrets, is_words=name in _WORDS) for name, value in document.items()}
    return document


def _without_all(document: JsonValue, secrets: Secrets) -> JsonValue:
    if isinstance(document, str):
        return without(document, secrets)
    if isinstance(document, list):
        return [_without_all(each, secrets) for each in document]
    if isinstance(document, dict):
        return {without(name, secrets): _without_all(value, secrets) for name, value in document.items()}
    return document
