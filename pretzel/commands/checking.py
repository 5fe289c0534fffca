"""``lint`` and ``test``: what is wrong with manifests, with every valid one checked whatever the others are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.commands.planning import require_manifests
from pretzel.options import command, paths_argument

if TYPE_CHECKING:
    from dcp_core.diagnostics import Diagnostic
    from dcp_core.loading import Loaded
    from dcp_core.records import TestReport
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def lint(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _lint(session: Session, paths: tuple[str, ...]) -> int:
        """Find mistakes in manifests, without any engine.

        PATH is a manifest or a folder of them. Warnings do not fail.
        """
        from dcp_core.diagnostics import has_errors
        from pretzel.rendering.diagnostics import render_diagnostics, summary_line

        control_plane = session.control_plane
        session.check_paths(paths)
        result = control_plane.load(paths, session.environment, manifest_type)
        require_manifests(paths, result.loaded, result.diagnostics)
        diagnostics = (*result.diagnostics, *control_plane.lint(result.loaded, session.environment))
        ok = not has_errors(diagnostics)
        _diagnostic_events(session, diagnostics)

        def render(screen: Screen) -> None:
            render_diagnostics(screen, diagnostics, control_plane.settings.root)
            session.notes.line(summary_line(diagnostics, _count(result.loaded, result.diagnostics)))

        session.output.result({"ok": ok, "diagnostics": _documents(diagnostics)}, render)
        return exits.DONE if ok else exits.FAILED

    return command(_lint, [paths_argument()])


def test(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _test(session: Session, paths: tuple[str, ...]) -> int:
        """Check manifests against an engine, and run the tests they hold.

        Lints first; what does not pass is not tested. Changes nothing and submits no job.
        """
        from dcp_core.diagnostics import has_errors
        from pretzel.documents import test_document
        from pretzel.rendering.diagnostics import render_diagnostics, summary_line
        from pretzel.rendering.operations import render_tests

        control_plane = session.control_plane
        session.check_paths(paths)
        result = control_plane.load(paths, session.environment, manifest_type)
        require_manifests(paths, result.loaded, result.diagnostics)
        diagnostics: list[Diagnostic] = list(result.diagnostics)
        reports: list[tuple[str, TestReport]] = []
        findings = control_plane.lint(result.loaded, session.environment)
        for each in result.loaded:
            if not has_errors(_about(each, findings)):
                report = control_plane.test(each, session.environment, among=result.loaded)
                reports.append((each.logical_plan.id, report))
        tested = [finding for _, report in reports for finding in report.diagnostics]
        diagnostics.extend(_not_repeated(findings, tested))
        diagnostics.extend(tested)
        tests = [test_document(case, id) for id, report in reports for case in report.tests]
        engines = sorted({report.engine for _, report in reports if report.engine})
        ok = not has_errors(diagnostics) and all(case["ok"] for case in tests)
        _diagnostic_events(session, diagnostics)
        for case in tests:
            session.output.event("test", case)

        def render(screen: Screen) -> None:
            render_diagnostics(screen, diagnostics, control_plane.settings.root)
            for id, report in reports:
                render_tests(screen, id, report.tests)
            session.notes.line(summary_line(diagnostics, _count(result.loaded, result.diagnostics)))
            if engines:
                session.notes.line(f"checked on {', '.join(engines)}")

        document = {
            "ok": ok,
            "diagnostics": _documents(diagnostics),
            "tests": tests,
            "engine": ", ".join(engines) or None,
        }
        session.output.result(document, render)
        return exits.DONE if ok else exits.FAILED

    return command(_test, [paths_argument()])


def _about(loaded: Loaded, findings: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The findings in the manifest or in a file that it reads."""
    from dcp_core.diagnostics import Diagnostic, Severity

    manifest = loaded.manifest
    beside = (manifest.locate(Diagnostic(Severity.INFO, "", "", file=name)).file for name in manifest.files)
    files = {manifest.file, *beside}
    return [finding for finding in findings if finding.file in files]


def _not_repeated(findings: Sequence[Diagnostic], tested: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Without those that ``test`` tells of again: what lint only warns of, it may know for certain."""
    certain = {(each.code, each.file, each.line, each.column) for each in tested}
    return [each for each in findings if (each.code, each.file, each.line, each.column) not in certain]


def _count(loaded: Sequence[Loaded], diagnostics: Sequence[Diagnostic]) -> int:
    """How many manifests that is; a finding may be about a file beside one."""
    from dcp_core.manifest import SUFFIXES

    invalid = {each.file for each in diagnostics if each.file and each.file.endswith(SUFFIXES)}
    return max(1, len({each.manifest.file for each in loaded} | invalid))


def _documents(diagnostics: Sequence[Diagnostic]) -> list[dict[str, object]]:
    from pretzel.documents import diagnostic_document

    return [diagnostic_document(each) for each in diagnostics]


def _diagnostic_events(session: Session, diagnostics: Sequence[Diagnostic]) -> None:
    for document in _documents(diagnostics):
        session.output.event("diagnostic", document)
