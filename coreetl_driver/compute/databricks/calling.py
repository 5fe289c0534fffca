"""One client of Databricks' SDK, and what its errors mean to the driver.

The SDK would try again by itself, sleep as long as the service says, and hide it; the driver does that, and tells.
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from coreetl_driver.compute.databricks.settings import DatabricksSettings
from coreetl_driver.compute.databricks.signing_in import ServicePrincipal, SignInRefusedError
from coreetl_driver.compute.routing import TOKEN_NEEDED
from dcp_core.errors import DcpError, NotFoundError, PermanentError, TransientError, UnauthorizedError
from dcp_core.settings import MASK, Secret

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

THROTTLED = "databricks.throttled"
REFUSED = "databricks.credentials_refused"
_UNAVAILABLE = "databricks.unavailable"
_CONFIGURATION = re.compile(r"\. Config: .*", re.DOTALL)  # the SDK adds its own to what the service says
_TRANSIENT_CODES = ("", "BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT", "GATEWAY_TIME-OUT")
_PRODUCT = "coreetl-driver"
logging.getLogger("databricks.sdk").addHandler(logging.NullHandler())  # else its warnings go to stderr unasked


def opened(section: DatabricksSettings, token: Secret) -> WorkspaceClient:
    """A client with these credentials, and none that the process's environment or files may hold.

    Args:
        token: The user's or the service principal's; empty for the section's OAuth client.
    """
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.clock import RealClock
    from databricks.sdk.config import Config

    class _Impatient(RealClock):
        def sleep(self, seconds: float) -> None:
            raise _NotAgainError

    if token:
        credentials: dict[str, Any] = {"token": token.reveal(), "auth_type": "pat"}
    else:
        credentials = {"credentials_strategy": ServicePrincipal(section), "auth_type": "oauth-m2m"}
    config = Config(
        host=section.host,
        profile="",
        http_timeout_seconds=section.http_timeout_s,
        retry_timeout_seconds=1,  # of the SDK's first look at the host, which has a clock of its own
        debug_headers=False,
        clock=_Impatient(),
        product=_PRODUCT,
        product_version=_version(),
        **credentials,
    )
    return WorkspaceClient(config=config)


def _version() -> str:
    """This driver's, as the SDK takes it: three numbers."""
    found = re.match(r"\d+\.\d+\.\d+", importlib.metadata.version(_PRODUCT))
    return found.group() if found else "0.0.0"


def waiting(message: str, **details: Any) -> UnauthorizedError:
    """The refusal of a user's token for what may run already: their next one goes on with it."""
    return UnauthorizedError(message, **{**details, "code": TOKEN_NEEDED})


class _NotAgainError(Exception):
    """In place of a sleep of the SDK's; what it slept for is the context."""


@contextmanager
def asking(
    what: str,
    section: DatabricksSettings,
    credential: str,
    secret: Secret,
    refusal: Callable[..., DcpError] | None,
) -> Iterator[None]:
    """Calls to the service, whose errors come out as the driver's.

    Args:
        what: What they are for, as it goes on after "Databricks": "does not take the run".
        credential: Whose and which, for people.
        secret: The credential itself: no message may hold it.
        refusal: What becomes of credentials that the service refuses. None for calls about what runs already: that
            must not be given up because a token has expired, or for anything else that the service says but that
            there is no such thing.

    Raises:
        TransientError: The service is away, busy, or wants to be asked later.
        NotFoundError: There is no such thing.
        PermanentError: It says no.
    """
    try:
        yield
    except DcpError:
        raise
    except Exception as raised:
        error = raised.__context__ if isinstance(raised, _NotAgainError) else raised
        told = _told(error, secret)
        raise _ours(error, f"Databricks {what}: {told}", section.host, credential, refusal) from None


def _ours(error: Any, message: str, host: str, credential: str, refusal: Callable[..., DcpError] | None) -> DcpError:
    import requests
    from databricks.sdk import errors
    from databricks.sdk.errors.base import DatabricksError

    refused, denied = refusal or TransientError, TransientError if refusal is None else PermanentError
    busy = (errors.TooManyRequests, errors.TemporarilyUnavailable)
    away = (errors.DeadlineExceeded, errors.InternalError, errors.Cancelled, errors.Aborted)
    if isinstance(error, busy):
        code = THROTTLED if isinstance(error, errors.TooManyRequests) else _UNAVAILABLE
        return TransientError(message, where=host, retry_after_s=error.retry_after_secs, code=code)
    if isinstance(error, (errors.Unauthenticated, errors.PermissionDenied)):
        return refused(f"{message}; {credential}", where=host, code=REFUSED)
    if isinstance(error, errors.NotFound):
        return NotFoundError(message, where=host)
    if isinstance(error, away) or _is_gateway(error):
        return TransientError(message, where=host, code=_UNAVAILABLE)
    if isinstance(error, DatabricksError):
        return denied(message, where=host)
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return denied(message, where=host)
    if isinstance(error, (requests.RequestException, OSError)):  # the connection, or what is no JSON
        return TransientError(message, where=host, code=_UNAVAILABLE)
    if isinstance(error, SignInRefusedError):
        return refused(f"{message}; {credential}", where=host, code=REFUSED)
    if isinstance(error, ValueError):  # how the SDK says that it cannot be configured like this
        return denied(message, where=host)
    raise error


def _is_gateway(error: Any) -> bool:
    """Whether what answered is not the service itself: a 502, or a page."""
    from databricks.sdk.errors.base import DatabricksError

    return type(error) is DatabricksError and str(error.error_code or "") in _TRANSIENT_CODES


def _told(error: BaseException | None, secret: Secret) -> str:
    text = _CONFIGURATION.sub("", str(error)).strip() or type(error).__name__
    hidden = secret.reveal()
    return text.replace(hidden, MASK) if hidden else text


_TOKEN = re.compile(r"[\x21-\x7e]+")


def require_token(token: Secret | None, host: str) -> Secret:
    """The token of a user, which can be sent.

    Raises:
        UnauthorizedError: There is none, or what there is cannot be one. It is not shown.
    """
    if not token:
        raise UnauthorizedError(
            "compute backend 'databricks' acts as you, and your token did not come along",
            where=host,
            code=TOKEN_NEEDED,
        )
    if not _TOKEN.fullmatch(token.reveal()):
        raise UnauthorizedError("what came along as your token has spaces or other signs in it", where=host)
    return token
