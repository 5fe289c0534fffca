"""The schemas of a topic's messages, in a registry with Confluent's REST API, where one is configured.

A subject is ``<topic>-value`` or ``<topic>-key``. A new schema is a new version; old ones stay, since messages written
with them do. Deleting a topic deletes its subjects softly, as the registry does by default.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from dcp_core.digests import JsonValue
from dcp_core.errors import InvalidSpecError, PermanentError, SettingsError, TransientError
from dcp_core.model import State
from dcp_primitives.kafka.checking import Problem
from dcp_primitives.kafka.cluster import Cluster
from dcp_primitives.kafka.settings import KafkaSettings
from dcp_primitives.kafka.spec import KafkaTopic, canonical_schema, values_of

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_MAX_BYTES = 10_000_000
Schemas = Mapping[str, Mapping[str, JsonValue]]


@frozen
class Registry:
    """One schema registry.

    Args:
        settings: Of section ``[kafka]``.
    """

    settings: KafkaSettings

    def latest(self, subject: str) -> dict[str, JsonValue] | None:
        """Type, text and compatibility of the newest version; None when there is no such subject."""
        found = self._ask("GET", f"/subjects/{_quoted(subject)}/versions/latest")
        if found is None:
            return None
        config = self._ask("GET", f"/config/{_quoted(subject)}") or {}
        type = found.get("schemaType") or "AVRO"
        return {
            "type": type,
            "schema": canonical_schema(type, found["schema"]),
            "compatibility": config.get("compatibilityLevel"),
        }

    def objection(self, subject: str, schema: Mapping[str, JsonValue]) -> str | None:
        """Why the registry would not take a next version; None when it would."""
        path = f"/compatibility/subjects/{_quoted(subject)}/versions/latest?verbose=true"
        try:
            told = self._ask("POST", path, _document(schema), absent_is_fine=True)
        except InvalidSpecError as error:
            return error.message
        if told is None or told.get("is_compatible", True):
            return None
        messages = "; ".join(map(str, told.get("messages") or ())) or "it is not compatible with the last version"
        return f"the schema registry would not take it: {messages}"

    def superseded(self, subject: str, schema: Mapping[str, JsonValue]) -> str | None:
        """Why an earlier version cannot be the newest again: a registry gives what it has, and adds nothing.

        None when it is not there, or is the newest.
        """
        found = self._ask("POST", f"/subjects/{_quoted(subject)}", _document(schema), absent_is_fine=True)
        latest = self._ask("GET", f"/subjects/{_quoted(subject)}/versions/latest")
        if found is None or latest is None or found["version"] == latest["version"]:
            return None
        return (
            f"it is version {found['version']} of {subject}, and somebody has registered version {latest['version']} "
            "since, which a registry cannot take back: delete that there, or put it into the manifest"
        )

    def register(self, subject: str, schema: Mapping[str, JsonValue]) -> None:
        """Make it the newest version; the same once more changes nothing.

        Raises:
            InvalidSpecError: The registry does not take it.
        """
        self._ask("POST", f"/subjects/{_quoted(subject)}/versions", _document(schema))

    def demand(self, subject: str, compatibility: str) -> None:
        """Set what the registry demands of the next version."""
        self._ask("PUT", f"/config/{_quoted(subject)}", {"compatibility": compatibility})

    def delete(self, subject: str) -> None:
        """Delete all versions, softly; what is absent is fine."""
        self._ask("DELETE", f"/subjects/{_quoted(subject)}")

    def _ask(
        self, verb: str, path: str, document: Mapping[str, JsonValue] | None = None, *, absent_is_fine: bool = False
    ) -> Any:
        """One call; None when what is asked about is not there."""
        url = self.settings.schema_registry_url.rstrip("/") + path
        data = None if document is None else json.dumps(document).encode()
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"[kafka] schema_registry_url is {url!r}, and not http:// or https://")
        headers = {"Accept": _MEDIA_TYPE, "Content-Type": _MEDIA_TYPE}
        request = urllib.request.Request(url, data, headers, method=verb)  # noqa: S310
        if self.settings.schema_registry_username:
            password = self.settings.schema_registry_password.reveal()
            pair = f"{self.settings.schema_registry_username}:{password}".encode()
            request.add_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
        where = self.settings.schema_registry_url
        try:
            with urllib.request.urlopen(request, timeout=self.settings.timeout_s) as answer:  # noqa: S310
                return json.loads(answer.read(_MAX_BYTES) or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404 and (absent_is_fine or verb in ("GET", "DELETE")):
                return None
            said = _message(error)
            if error.code in (408, 429) or error.code >= 500:
                raise TransientError(f"the schema registry answers {error.code}: {said}", where=where) from None
            if error.code in (409, 422):
                raise InvalidSpecError(f"the schema registry would not take it: {said}", where=where) from None
            raise PermanentError(
                f"the schema registry answers {error.code}: {said}",
                where=where,
                hint="see schema_registry_username and schema_registry_password in [kafka]",
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TransientError(f"the schema registry cannot be reached: {reason}", where=where) from None


def problems(topic: KafkaTopic, cluster: Cluster) -> tuple[Problem, ...]:
    """Why the registry would not take the schemas that are wanted.

    Raises:
        TransientError: It cannot be reached.
    """
    wanted: Schemas = values_of(topic).get("schemas", {})
    if wanted and not cluster.settings.schema_registry_url:
        lacking = "schemas need a registry: set schema_registry_url in [kafka]"
        return tuple(Problem(f"schemas.{part}", lacking) for part in wanted)
    registry = Registry(cluster.settings)
    objections: dict[str, str | None] = {}
    for part, schema in wanted.items():
        subject = subject_of(topic.topic, part)
        why = registry.superseded(subject, schema)
        if why is None and schema["compatibility"] != "NONE":
            why = registry.objection(subject, schema)
        objections[part] = why
    return tuple(Problem(f"schemas.{part}", why) for part, why in objections.items() if why)


def with_actual(topic: KafkaTopic | None, state: State, cluster: Cluster) -> State:
    """The state with the schemas that the manifest manages."""
    if topic is None or topic.schemas is None:
        return state
    if not cluster.settings.schema_registry_url:
        return evolve(state, values={**state.values, "schemas": {}})
    registry = Registry(cluster.settings)
    found: dict[str, JsonValue] = {}
    for part in sorted(topic.schemas):
        latest = registry.latest(subject_of(topic.topic, part))
        if latest is not None:
            # What the registry demands by itself is not ours to show.
            wanted = topic.schemas[part].compatibility
            found[part] = latest if wanted is not None else {**latest, "compatibility": None}
    return evolve(state, values={**state.values, "schemas": found})


def change(topic: KafkaTopic, desired: Schemas, current: Schemas, cluster: Cluster) -> None:
    """Register what is new. The rule of a subject that exists is set first, so that the schema is judged by it.

    Raises:
        InvalidSpecError: The registry does not take it.
        TransientError: It cannot be reached.
    """
    registry = Registry(cluster.settings)
    for part, schema in desired.items():
        subject, there = subject_of(topic.topic, part), current.get(part, {})
        rule = schema["compatibility"]
        if not there:
            registry.register(subject, schema)  # some registries take no rule for what is not there
        if rule is not None and rule != there.get("compatibility"):
            registry.demand(subject, rule)
        if there and (schema["schema"], schema["type"]) != (there["schema"], there["type"]):
            registry.register(subject, schema)


def remove(topic: str, current: Schemas, cluster: Cluster) -> None:
    """Delete the subjects that the manifest managed."""
    registry = Registry(cluster.settings)
    for part in current:
        registry.delete(subject_of(topic, part))


def subject_of(topic: str, part: str) -> str:
    """Where producers and consumers look by default (``TopicNameStrategy``)."""
    return f"{topic}-{part}"


def _document(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"schema": schema["schema"], "schemaType": schema["type"]}


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MAX_BYTES))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)
