"""Section ``[emr]``, for one environment."""

from __future__ import annotations

import re

from attrs import frozen

from coreetl_driver.compute.sections import section_for
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings

_S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s?#]*)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BUCKET_RULE = "{!r} is no bucket's name: 3 to 63 lower-case letters, digits, hyphens and dots"
_ROLE = re.compile(r"arn:aws[a-zA-Z0-9-]*:iam::\d{12}:role/\S+")
_MAX_POLICY_CHARACTERS = 2048


@frozen
class EmrSettings:
    """Section ``[emr]``; what ``[emr.production]`` and ``[emr.playground]`` say wins there.

    Args:
        cluster_id: Of the cluster that runs steps: ``j-…``.
        application_id: Of the EMR Serverless application; exactly one of the two.
        role: The ARN of the role that the jobs have. On a cluster it needs runtime roles; empty there, the jobs have
            the cluster's own.
        policy: An IAM policy in JSON that narrows the role for this environment's jobs; EMR Serverless only.
        staging: ``s3://bucket/prefix``: where the driver puts the program and the jobs' specifications, and where the
            jobs write their results.
        logs: Where logs go, ``s3://bucket/prefix``. On EMR Serverless by default ``<staging>/logs``; on a cluster,
            where its own ``LogUri`` says.
        region: By default as boto3 finds it.
        profile: Of ``~/.aws/config``, the driver's own credentials for this environment; by default as boto3 finds
            them.
        timeout_minutes: After which EMR Serverless ends a job; 0 for never. Steps have no such limit.
        cancel_timeout_s: How long to wait for the end of a cancelled job before asking again later.
        request_timeout_s: How long AWS may take for an answer.
    """

    cluster_id: str = ""
    application_id: str = ""
    role: str = ""
    policy: str = ""
    staging: str = ""
    logs: str = ""
    region: str = ""
    profile: str = ""
    timeout_minutes: int = 720
    cancel_timeout_s: float = 120.0
    request_timeout_s: float = 30.0


def emr_settings(settings: Settings, environment: str) -> EmrSettings:
    """The section for one environment, checked.

    Raises:
        SettingsError: A setting is missing, wrong or contradicts another.
    """
    section = section_for(settings, "emr", EmrSettings, environment)
    for problem, hint in _problems(section):
        raise SettingsError(
            f"[emr] {problem}, for environment {environment}",
            where=str(settings.file) if settings.file else None,
            hint=hint,
        )
    return section


def _problems(section: EmrSettings) -> list[tuple[str, str | None]]:
    """What is wrong, each with a hint."""
    found: list[tuple[str, str | None]] = []
    if bool(section.cluster_id) == bool(section.application_id):
        problem = "both cluster_id and application_id are set"
        if not section.cluster_id:
            problem = "no application_id or cluster_id is set"
        found.append((problem, "cluster_id runs steps on a cluster, application_id jobs on EMR Serverless: set one"))
    for name, uri in (("staging", section.staging), ("logs", section.logs)):
        if not _S3_URI.fullmatch(uri) and (uri or name == "staging"):
            bucket = uri.removeprefix("s3://").partition("/")[0] if uri.startswith("s3://") else None
            hint = None if not bucket or _BUCKET.fullmatch(bucket) else _BUCKET_RULE.format(bucket)
            found.append((f"{name} is {uri!r}, expected s3://bucket/prefix", hint))
    if section.role and not _ROLE.fullmatch(section.role):
        found.append((f"role is {section.role!r}, expected arn:aws:iam::ACCOUNT:role/NAME", None))
    if section.application_id and not section.role:
        found.append(("no role is set", "EMR Serverless runs each job with a role: docs/compute-emr.md"))
    if section.policy and not section.application_id:
        found.append(("policy is set, which steps cannot have", "give each environment a role of its own"))
    if len(section.policy) > _MAX_POLICY_CHARACTERS:
        found.append((f"policy has more than {_MAX_POLICY_CHARACTERS} characters", None))
    if section.timeout_minutes < 0:
        found.append((f"timeout_minutes is {section.timeout_minutes}", "0 for never"))
    for name in ("cancel_timeout_s", "request_timeout_s"):
        if getattr(section, name) <= 0:
            found.append((f"{name} is {getattr(section, name)}, expected seconds, more than 0", None))
    return found
