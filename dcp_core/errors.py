"""The tree of errors: what happened, where, whose it is, what to do, and whether to try again.

Retry is decided by type alone (design section 7): a ``TransientError`` is retried with backoff, a
``PermanentError`` never, and any other exception is a bug of the plugin that raised it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dcp_core.diagnostics import Diagnostic


class DcpError(Exception):
    """Base of every error that DCP raises on purpose.

    Args:
        message: What happened, in one sentence a user can act on. Never holds a secret.
        where: The file position, resource or service concerned, as the user knows it.
        owner: ``distribution==version: hook`` when a plugin, primitive or extension raised it.
        hint: What to do next.
        code: Overrides the class's stable code.
    """

    code: ClassVar[str] = "dcp.error"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        owner: str | None = None,
        hint: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.owner = owner
        self.hint = hint
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may refine its class's code

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by Exception's own pickling.
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[DcpError], attributes: dict[str, Any]) -> DcpError:
    error = cls.__new__(cls)
    Exception.__init__(error, attributes["message"])
    error.__dict__.update(attributes)
    return error


class TransientError(DcpError):
    """May succeed when tried again: a service is down, busy, or lost a race.

    Args:
        retry_after_s: Seconds to wait before the next try when the service said so, else None.
    """

    code = "dcp.transient"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class PermanentError(DcpError):
    """Fails the same way however often it is tried."""

    code = "dcp.permanent"


class UsageError(PermanentError):
    """The command or call itself is wrong: an unknown name, options that contradict each other."""

    code = "usage"


class SettingsError(PermanentError):
    """``dcp.toml`` or a ``DCP_…`` variable is wrong."""

    code = "settings.invalid"


class InvalidManifestError(PermanentError):
    """One or more manifests are wrong; ``diagnostics`` holds every error found, with positions."""

    code = "manifest.invalid"

    def __init__(self, diagnostics: Iterable[Diagnostic], **details: Any) -> None:
        self.diagnostics = tuple(diagnostics)
        count = len(self.diagnostics)
        first = self.diagnostics[0].message if self.diagnostics else "invalid manifest"
        super().__init__(first if count == 1 else f"{count} errors, the first: {first}", **details)


class InvalidSpecError(PermanentError):
    """A resource's specification contradicts itself or cannot be had on its platform."""

    code = "spec.invalid"


class NotFoundError(PermanentError):
    """A named thing does not exist."""

    code = "not_found"


class UnknownManifestTypeError(NotFoundError):
    """No installed plugin handles this manifest type."""

    code = "manifest.unknown_type"


class UnknownKindError(NotFoundError):
    """No installed primitive manages this kind of resource.

    A primitive that has no service to ask raises a subclass whose ``reason`` is ``not_configured``: a plan shows its
    resources as BLOCKED for that reason, and goes on with the rest.
    """

    code = "primitive.not_installed"
    reason: ClassVar[str] = "primitive_not_installed"


class ConflictError(PermanentError):
    """The world is not as the caller assumed."""

    code = "conflict"


class StalePlanError(ConflictError):
    """A resource or a plugin changed after the plan was made; the message names it."""

    code = "plan.stale"


class OperationInProgressError(ConflictError):
    """Another process is changing the same manifest in the same environment; ``holder`` says who."""

    code = "operation.in_progress"

    def __init__(self, message: str, *, holder: str, **details: Any) -> None:
        super().__init__(message, **details)
        self.holder = holder


class LeaseLostError(ConflictError):
    """Another process took this operation over; whoever gets this must stop at once."""

    code = "operation.lease_lost"


class DestructiveError(PermanentError):
    """The change would lose data, or corrupt what other engines read, and was not allowed."""

    code = "destructive"


class NotSupportedError(PermanentError):
    """The platform, or this part of DCP, cannot do what was asked."""

    code = "not_supported"


class UnauthorizedError(PermanentError):
    """An ``authorize`` rule denied the operation, or failed, which denies too (fails closed)."""

    code = "unauthorized"


class UnauthenticatedError(UnauthorizedError):
    """Nobody can tell who asks: the token is missing, malformed, expired, for others, or not signed by its issuer."""

    code = "unauthenticated"


class PluginError(PermanentError):
    """A plugin, primitive or extension has a bug: ``owner`` says whose."""

    code = "plugin.bug"


class PluginLoadError(PluginError):
    """An entry point cannot be used: its import failed or its hooks do not fit."""

    code = "plugin.broken"
