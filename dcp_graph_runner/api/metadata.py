"""The service ``Metadata``: what is applied, by whom, in which versions, what it ran, and where data comes from."""

from __future__ import annotations

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.model import LogicalPlan
from dcp_graph_runner.api.handlers import READ, AnyHandler, Handler
from dcp_graph_runner.metadata.views import (
    ColumnEdge,
    LineageEdge,
    LineageNode,
    ManifestExecution,
    ManifestNeighbour,
    ManifestResource,
    ManifestSummary,
    ManifestVersion,
    OwnerSummary,
)

SERVICE = "Metadata"


@attrs.frozen
class ListManifestsRequest:
    """What is applied.

    Args:
        environment: None means the playground in use.
        everywhere: All environments that the caller may read, in place of one.
        manifest_type: Of this type only.
        owner: Of this team only.
        label: ``key=value``, or ``key`` with any value.
        text: In the id or the description, whatever its case.
        limit: Rows of an answer, at most 1000.
        page_token: Of the answer before; "" begins.
    """

    environment: str | None = None
    everywhere: bool = False
    manifest_type: str | None = None
    owner: str | None = None
    label: str | None = None
    text: str | None = None
    limit: int = 100
    page_token: str = ""


@attrs.frozen
class ListManifestsAnswer:
    """One page, by environment and id; ``next_page_token`` is "" on the last."""

    manifests: tuple[ManifestSummary, ...]
    next_page_token: str = ""


@attrs.frozen
class ShowManifestRequest:
    """One manifest, ``<manifest type>/<name>``; environment None means the playground in use."""

    manifest_id: str
    environment: str | None = None


@attrs.frozen
class ShowManifestAnswer:
    """Everything of one manifest; see ``metadata.showing.Shown``."""

    manifest: ManifestSummary
    logical_plan: LogicalPlan
    resources: tuple[ManifestResource, ...]
    sources: tuple[ManifestNeighbour, ...]
    readers: tuple[ManifestNeighbour, ...]
    versions: tuple[ManifestVersion, ...]
    executions: tuple[ManifestExecution, ...]
    notes: tuple[str, ...] = ()


@attrs.frozen
class ListOwnersRequest:
    """Teams that own manifests, in one environment or all that the caller may read."""

    environment: str | None = None
    everywhere: bool = False


@attrs.frozen
class ListOwnersAnswer:
    """By name."""

    owners: tuple[OwnerSummary, ...]


@attrs.frozen
class ListVersionsRequest:
    """The versions of one manifest, the newest first; of one that was destroyed too."""

    manifest_id: str
    environment: str | None = None
    limit: int = 20
    page_token: str = ""


@attrs.frozen
class ListVersionsAnswer:
    """One page; ``next_page_token`` is "" on the last."""

    environment: str
    versions: tuple[ManifestVersion, ...]
    next_page_token: str = ""


@attrs.frozen
class ListExecutionsRequest:
    """What a manifest's resources have run, the newest first.

    Args:
        manifest_id: Whose.
        environment: None means the playground in use.
        limit: At most so many.
        page_token: Where the page before ended.
        primitive: Of resources of this kind; "" for those that ``run`` starts.
    """

    manifest_id: str
    environment: str | None = None
    limit: int = 20
    page_token: str = ""
    primitive: str = ""


@attrs.frozen
class ListExecutionsAnswer:
    """One page; ``next_page_token`` is "" on the last."""

    environment: str
    executions: tuple[ManifestExecution, ...]
    next_page_token: str = ""


@attrs.frozen
class GetLogsRequest:
    """What an execution has logged.

    Args:
        manifest_id: Whose.
        environment: None means the playground in use.
        execution_id: None means the newest.
        offset: How many characters are known already: only what follows is told.
        seen: The last of these, some hundred: the beginning of a long log may be left out meanwhile.
        primitive: Of resources of this kind; "" for those that ``run`` starts.
    """

    manifest_id: str
    environment: str | None = None
    execution_id: str | None = None
    offset: int = 0
    seen: str = ""
    primitive: str = ""


@attrs.frozen
class GetLogsAnswer:
    """Log.

    Args:
        execution: How it stands.
        text: What is new; None where its platform keeps no logs.
        offset: For the next request.
    """

    execution: ManifestExecution
    text: str | None
    offset: int


@attrs.frozen
class GetLineageRequest:
    """Where data comes from and goes to.

    Args:
        name: A manifest's id, or the name of data.
        environment: None means the playground in use.
        direction: ``upstream``, ``downstream`` or ``both``.
        depth: Steps at most; None for all.
        column: Only what this column is made from and goes to.
        columns: Whether every column is told.
        overlay: Whether a playground's manifests read its own data where there is some; None asks the settings.
    """

    name: str
    environment: str | None = None
    direction: str = "both"
    depth: int | None = None
    column: str | None = None
    columns: bool = False
    overlay: bool | None = None


@attrs.frozen
class GetLineageAnswer:
    """A graph; see ``metadata.lineage.Lineage``."""

    starts: tuple[str, ...]
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    columns: tuple[ColumnEdge, ...] = ()
    notes: tuple[str, ...] = ()


def _list_manifests(dcp: ControlPlane, request: ListManifestsRequest) -> ListManifestsAnswer:
    from dcp_graph_runner.metadata import listing

    found, token = listing.list_manifests(
        dcp,
        listing.environments_of(dcp, request.environment, request.everywhere),
        manifest_type=request.manifest_type,
        owner=request.owner,
        label=request.label,
        text=request.text,
        limit=request.limit,
        page_token=request.page_token,
    )
    if not found and not request.everywhere and request.environment is not None:
        listing.check_there(dcp, request.environment)
    return ListManifestsAnswer(found, token)


def _show_manifest(dcp: ControlPlane, request: ShowManifestRequest) -> ShowManifestAnswer:
    from dcp_graph_runner.metadata.showing import show

    shown = show(dcp, dcp.environment(request.environment), request.manifest_id)
    return ShowManifestAnswer(**{each.name: getattr(shown, each.name) for each in attrs.fields(type(shown))})


def _list_owners(dcp: ControlPlane, request: ListOwnersRequest) -> ListOwnersAnswer:
    from dcp_graph_runner.metadata import listing

    environments = listing.environments_of(dcp, request.environment, request.everywhere)
    return ListOwnersAnswer(listing.list_owners(dcp, environments))


def _list_versions(dcp: ControlPlane, request: ListVersionsRequest) -> ListVersionsAnswer:
    from dcp_graph_runner.metadata.history import list_versions

    environment = dcp.environment(request.environment).name
    found, token = list_versions(dcp, environment, request.manifest_id, request.limit, request.page_token)
    return ListVersionsAnswer(environment, found, token)


def _list_executions(dcp: ControlPlane, request: ListExecutionsRequest) -> ListExecutionsAnswer:
    from dcp_graph_runner.metadata.executions import list_executions

    environment = dcp.environment(request.environment)
    found, token = list_executions(
        dcp, environment, request.manifest_id, request.limit, request.page_token, request.primitive
    )
    return ListExecutionsAnswer(environment.name, found, token)


def _get_logs(dcp: ControlPlane, request: GetLogsRequest) -> GetLogsAnswer:
    from dcp_graph_runner.metadata import executions

    environment = dcp.environment(request.environment)
    execution, text = executions.logs_of(dcp, environment, request.manifest_id, request.execution_id, request.primitive)
    if text is None:
        return GetLogsAnswer(execution, None, 0)
    return GetLogsAnswer(execution, executions.after(text, request.offset, request.seen), len(text))


def _get_lineage(dcp: ControlPlane, request: GetLineageRequest) -> GetLineageAnswer:
    from dcp_graph_runner.metadata.lineage import lineage

    found = lineage(
        dcp,
        dcp.environment(request.environment, overlay=request.overlay),
        request.name,
        direction=request.direction,
        depth=request.depth,
        column=request.column,
        with_columns=request.columns,
    )
    return GetLineageAnswer(found.starts, found.nodes, found.edges, found.columns, found.notes)


LIST_MANIFESTS = Handler(
    SERVICE, "ListManifests", ListManifestsRequest, ListManifestsAnswer, _list_manifests, "/metadata/list", READ, "GET",
    summary="List applied manifests",
)  # fmt: skip
SHOW_MANIFEST = Handler(
    SERVICE, "ShowManifest", ShowManifestRequest, ShowManifestAnswer, _show_manifest, "/metadata/show", READ, "GET",
    summary="Show everything of one manifest",
)  # fmt: skip
LIST_OWNERS = Handler(
    SERVICE, "ListOwners", ListOwnersRequest, ListOwnersAnswer, _list_owners, "/metadata/owners", READ, "GET",
    summary="List the teams that own manifests",
)  # fmt: skip
LIST_VERSIONS = Handler(
    SERVICE, "ListVersions", ListVersionsRequest, ListVersionsAnswer, _list_versions, "/metadata/history", READ, "GET",
    summary="List the versions of a manifest with what each changed",
)  # fmt: skip
LIST_EXECUTIONS = Handler(
    SERVICE, "ListExecutions", ListExecutionsRequest, ListExecutionsAnswer, _list_executions, "/metadata/executions",
    READ, "GET", summary="List what a manifest has run",
)  # fmt: skip
GET_LOGS = Handler(
    SERVICE, "GetLogs", GetLogsRequest, GetLogsAnswer, _get_logs, "/metadata/logs", READ, "GET",
    summary="Show what an execution has logged",
)  # fmt: skip
GET_LINEAGE = Handler(
    SERVICE, "GetLineage", GetLineageRequest, GetLineageAnswer, _get_lineage, "/metadata/lineage", READ, "GET",
    summary="Show where data comes from and goes to, by table and column",
)  # fmt: skip

HANDLERS: tuple[AnyHandler, ...] = (
    LIST_MANIFESTS,
    SHOW_MANIFEST,
    LIST_OWNERS,
    LIST_VERSIONS,
    LIST_EXECUTIONS,
    GET_LOGS,
    GET_LINEAGE,
)
