"""``run``: start the jobs of manifests, who is read before who reads, and wait for them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.commands.planning import environment_words, require_manifests
from pretzel.options import command, paths_argument

if TYPE_CHECKING:
    from dcp_core.loading import Loaded
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def run(manifest_type: str | None) -> click.Command:
    """The command for one manifest type, or for all."""

    def _run(
        session: Session,
        paths: tuple[str, ...],
        param: tuple[str, ...],
        day: str | None,
        start: str | None,
        end: str | None,
        explain: bool,
    ) -> int:
        """Run the jobs of manifests and wait for them.

        A manifest that reads another of them runs after it, and not at all when that one failed. Apply comes
        first: run changes no resource.

        Parameters with dates of the run in them are filled in for --date, a whole day, or for what lies from --from
        to --to; without either for the last complete interval of each manifest's schedule, or today where it has none.
        """
        from pretzel.documents import execution_document, runs_document
        from pretzel.rendering.operations import render_runs

        params = parameters(param) | _interval(day, start, end)
        loaded = session.load(paths, manifest_type).loaded
        require_manifests(paths, loaded)
        explained = _explain(session, loaded) if explain else []
        for row in explained:
            session.output.event("explanation", row)
            if row["backend"]:
                session.notes.line(f"{row['resource']} goes to {row['backend']}: {_why(row)}")
        with session.progress:
            results = session.control_plane.run([each.logical_plan for each in loaded], params)
        session.tell_created_sandboxes()
        for result in results:
            for execution in result.executions:
                session.output.event("execution", execution_document(execution, result.manifest_id))
        ran_on = {each.resource.name: each.backend for result in results for each in result.executions}
        for row in explained:
            row["backend"] = ran_on.get(row["resource"]) or row["backend"]
        preview = ["pretzel", "preview", paths[0], *environment_words(session)]
        step = shlex.join(preview) if len(loaded) == 1 else None

        def render(screen: Screen) -> None:
            _render_explanation(screen, explained)
            render_runs(screen, results, next_step=step)

        document = runs_document(results, session.environment.name)
        if explain:
            document["explanation"] = explained
        session.output.result(document, render)
        return exits.DONE if all(result.ok for result in results) else exits.FAILED

    return command(
        _run,
        [
            paths_argument(),
            click.Option(["--param"], multiple=True, metavar="KEY=VALUE", help="A value for a parameter; repeatable."),
            click.Option(["--date", "day"], metavar="DAY", help="The day that the run is for: 2026-01-31, UTC."),
            click.Option(["--from", "start"], metavar="MOMENT", help="Where what the run is for begins; needs --to."),
            click.Option(["--to", "end"], metavar="MOMENT", help="Where it ends; this moment does not belong to it."),
            click.Option(["--explain"], is_flag=True, help="Runs, and says also where each ran and why."),
        ],
    )


def parameters(given: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` words as a mapping.

    Raises:
        BadParameter: One has another form, or a key is given twice.
    """
    params: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", click.get_current_context(), param_hint="--param")
        if name in params:
            raise click.BadParameter(f"{name!r} is given twice", click.get_current_context(), param_hint="--param")
        params[name] = value
    return params


def _interval(day: str | None, start: str | None, end: str | None) -> dict[str, str]:
    """The parameters that say what the run is for; none when the user does not say."""
    if day is None and start is None and end is None:
        return {}
    import datetime

    from dcp_core.errors import InvalidSpecError
    from dcp_core.intervals import EXPECTED, Interval, parse_moment

    context = click.get_current_context()
    if day is not None:
        if start is not None or end is not None:
            raise click.UsageError("--date is a whole day: leave out --from and --to", context)
        try:
            moment = datetime.datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
            return Interval.of_day(moment.date()).to_params()
        except (ValueError, InvalidSpecError):
            raise click.BadParameter(
                f"{day!r} is not a day, such as 2026-01-31", context, param_hint="--date"
            ) from None
    if start is None or end is None:
        raise click.UsageError("--from and --to go together", context)
    moments = {}
    for option, text in (("--from", start), ("--to", end)):
        try:
            moments[option] = parse_moment(text)
        except InvalidSpecError:
            raise click.BadParameter(f"{text!r} is not {EXPECTED}", context, param_hint=option) from None
    try:
        return Interval(moments["--from"], moments["--to"]).to_params()
    except InvalidSpecError as error:
        raise click.BadParameter(error.message, context, param_hint="--to") from None


def _explain(session: Session, loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """What is known before the run: a row for each runnable resource."""
    from dcp_graph_runner.api.messages import ExplainAnswer, ExplainRequest
    from dcp_graph_runner.api.table import find

    by_id = {each.logical_plan.id: each for each in loaded}
    request = ExplainRequest(session.environment.name, tuple(each.logical_plan for each in loaded))
    answer: ExplainAnswer = session.call(find("Operations.Explain"), request)
    return [
        {
            "manifest": row.manifest_id,
            "resource": row.resource,
            "primitive": row.kind,
            "exists": row.exists,
            "reads": sorted(by_id[row.manifest_id].reads),
            "provides": sorted(by_id[row.manifest_id].provides),
            "compute": row.compute,
            "backend": row.backend,
            "why": row.why,
        }
        for row in answer.rows
    ]


def _why(row: dict[str, Any]) -> str:
    not_there = "" if row["exists"] else "; it is not deployed yet: apply comes first"
    return (row["why"] or "its primitive does not say why") + not_there


def _render_explanation(screen: Screen, rows: Sequence[dict[str, Any]]) -> None:
    from pretzel.rendering.values import value_text

    for row in rows:
        screen.line((row["resource"], "bold"), f" ({row['primitive']}) of {row['manifest']}")
        screen.line(f"backend: {row['backend'] or 'not known'} ({_why(row)})", indent=2)
        if row["compute"]:
            screen.line(f"asks for: {value_text(row['compute'])}", indent=2)
        screen.line(f"reads: {', '.join(row['reads']) or 'nothing that a manifest or a catalog provides'}", indent=2)
        screen.line(f"writes: {', '.join(row['provides']) or '-'}", indent=2)
