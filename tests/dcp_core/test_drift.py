"""What a manifest may say about drift, in every manifest type, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core import ControlPlane, Environment, LogicalPlan, Manifest, Metadata, Plugin, Registry, Source
from dcp_core.documents import from_json, to_json
from dcp_core.drift import DriftMode, DriftPolicy, lint, policy_of, with_drift
from dcp_core.logical_plan import from_bytes, to_bytes
from dcp_core.registry import PLUGINS
from dcp_core.settings import Settings
from dcp_core.validation import validate

IGNORED = "{ignore: [properties.*], owner: logistics-de, reason: a trial, until: 2026-12-31}"
PLAN = LogicalPlan("t", "t/a", "production", {}, Metadata("me", 1, {"a": "b"}, "words"), Source("f", "d"))


class Stranger(Plugin):
    """Knows nothing of drift, and no other key than its own."""

    manifest_type = "stranger"

    def get_manifest_schema(self) -> dict[str, Any]:
        return {"type": "object", "required": ["name"], "additionalProperties": False, "properties": {"name": {}}}

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        name = manifest.data["name"]
        return LogicalPlan("stranger", f"stranger/{name}", environment.name, {}, Metadata("acme"), manifest.source())

    def decompose(self, logical_plan: LogicalPlan) -> tuple[()]:
        return ()


def loaded(tmp_path: Path, drift: str) -> Any:
    registry = Registry()
    registry.register(PLUGINS, "stranger", Stranger, "acme==1")
    file = tmp_path / "stranger" / "a.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"name: a\nmetadata:\n  drift: {drift}\n")
    with ControlPlane(Settings(tmp_path, {}, {}), registry, "alice") as dcp:
        environment = Environment.named("production")
        result = dcp.load([file], environment)
        return result, dcp.lint(result.loaded, environment)


@pytest.mark.parametrize("mode", ["heal", "report"])
def test_a_strangers_manifest_says_it_in_a_word(tmp_path: Path, mode: str) -> None:
    result, findings = loaded(tmp_path, mode)
    assert result.diagnostics == findings == ()
    assert result.loaded[0].logical_plan.metadata == Metadata("acme", drift=DriftPolicy(DriftMode(mode)))


def test_a_strangers_manifest_ignores_fields_until_a_day(tmp_path: Path) -> None:
    drift = loaded(tmp_path, IGNORED)[0].loaded[0].logical_plan.metadata.drift
    assert drift == DriftPolicy(DriftMode.REPORT, ("properties.*",), "logistics-de", "a trial", "2026-12-31")


@pytest.mark.parametrize("missing", ["owner: logistics-de, ", "reason: a trial, ", ", until: 2026-12-31"])
def test_who_ignores_says_who_answers_why_and_until_when(tmp_path: Path, missing: str) -> None:
    result, _ = loaded(tmp_path, IGNORED.replace(missing, ""))
    (finding,) = result.diagnostics
    name = missing.strip(", ").partition(":")[0]
    assert (finding.code, finding.line, finding.column) == ("schema.required", 3, 10)
    assert f"metadata.drift.{name} is missing" in finding.message


@pytest.mark.parametrize(
    ("drift", "code", "words"),
    [
        ("mend", "schema.enum", "heal, report"),
        ("7", "schema.oneOf", "ignore: [field"),
        ("{mode: heal}", "schema.required", "ignore"),
        (IGNORED.replace("12-31", "02-30"), "drift.until", "no day"),
        (IGNORED.replace("2026-12-31", "tomorrow"), "schema.pattern", "tomorrow"),
        (IGNORED.replace("[properties.*]", "[]"), "schema.minItems", "ignore"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_position(tmp_path: Path, drift: str, code: str, words: str) -> None:
    result, _ = loaded(tmp_path, drift)
    assert result.loaded == ()
    assert {(each.code, each.line) for each in result.diagnostics} == {(code, 3)}
    assert words in str(result.diagnostics[0])


def test_an_ignore_that_is_over_is_a_warning_of_lint(tmp_path: Path) -> None:
    _, findings = loaded(tmp_path, IGNORED.replace("2026", "2020"))
    assert [(each.code, each.severity, each.line) for each in findings] == [("drift.expired", "warning", 3)]
    _, findings = loaded(tmp_path, IGNORED.replace("2026", "2999"))
    assert findings == ()


def test_the_last_day_counts_whole() -> None:
    policy = DriftPolicy(ignore=("*",), owner="o", reason="r", until="2026-12-31")
    end = datetime(2027, 1, 1, tzinfo=UTC)
    assert policy.expires_at == end
    assert not policy.has_expired(end - timedelta(microseconds=1))
    assert policy.has_expired(end)
    assert lint(policy, end)[0].path == ("metadata", "drift", "until")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("properties.*", True),
        ("iceberg_table:properties.*", True),
        ("airflow_dag:properties.*", False),
        ("properties", False),
        ("*", True),
        ("iceberg_table:*", True),
    ],
)
def test_a_pattern_is_of_fields_with_or_without_a_kind(pattern: str, matches: bool) -> None:
    policy = DriftPolicy(ignore=(pattern,))
    assert policy.matches("iceberg_table", "properties.write.format") is matches


def test_a_manifest_without_a_policy_keeps_digest_and_document() -> None:
    # Written down from the version before there were policies.
    assert PLAN.digest == "sha256:ab26d9d3064e37bb12c4f16ec2711e82b31d24a120e16e0dbbd1b6da30c54102"
    assert "drift" not in to_json(PLAN)["metadata"]
    assert attrs.evolve(PLAN, metadata=attrs.evolve(PLAN.metadata, drift=DriftPolicy())).digest != PLAN.digest


policies = st.builds(
    DriftPolicy, st.sampled_from(DriftMode), st.lists(st.text(), max_size=3).map(tuple), st.text(), st.text(), st.text()
)


@given(st.none() | policies)
def test_a_policy_comes_through_documents_and_protobuf(policy: DriftPolicy | None) -> None:
    plan = attrs.evolve(PLAN, metadata=attrs.evolve(PLAN.metadata, drift=policy))
    assert from_json(to_json(plan), LogicalPlan) == plan
    assert from_bytes(to_bytes(plan)) == plan


@pytest.mark.parametrize("inside", [True, {"type": "string"}, {"type": "object", "properties": {"tier": {}}}])
def test_a_plugins_own_words_about_metadata_stay(inside: Any) -> None:
    schema = with_drift({"type": "object", "properties": {"metadata": inside}})
    fits = "text" if inside == {"type": "string"} else {"tier": 1}
    assert validate({"metadata": fits}, schema) == ()
    assert policy_of({"metadata": fits}) is None
