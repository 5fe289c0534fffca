"""Calls of AWS: clients with the credentials of one environment, and what their errors mean to the driver.

boto3 finds credentials and endpoints as it always does: a profile where the settings name one, else the environment,
``~/.aws`` and the machine's role; ``AWS_ENDPOINT_URL_…`` and ``endpoint_url`` of a profile are heeded. It retries
nothing here, for the driver does, and asking twice for a step would make two.

Source: https://docs.aws.amazon.com/boto3/latest/guide/error-handling.html,
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import email.utils
import importlib
import importlib.util
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from coreetl_driver.compute.tasks import NOT_TAKEN
from dcp_core.errors import DcpError, NotFoundError, PermanentError, SettingsError, TransientError, UnauthorizedError

_CONNECT_TIMEOUT_S = 10.0
_MAX_CHARACTERS = 500
_NEWLINE = "\n"
_POLICIES = "docs/compute-emr.md lists what the driver and the jobs must be allowed to do"
_RENEW = "renew them (environment, ~/.aws, `aws sso login`, the machine's role); what runs goes on meanwhile"
_NONE = "provide some (environment, [emr] profile of ~/.aws, `aws sso login`, the machine's role)"
_EXPIRED = (
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidToken",
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "NotAuthorizedException",
)  # fmt: skip
_DENIED = (
    "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthFailure",
    "SignatureDoesNotMatch", "InvalidSignatureException", "MissingAuthenticationToken", "OptInRequired",
    "AllAccessDisabled", "KMS.AccessDeniedException",
)  # fmt: skip
_THROTTLED = (
    "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
    "SlowDown", "LimitExceededException", "ServiceQuotaExceededException",
)  # fmt: skip
_BUSY = ("ServiceUnavailable", "ServiceUnavailableException", "ConditionalRequestConflict", "RequestTimeout")
_CLOCK = ("RequestTimeTooSkewed", "RequestInTheFuture")
_PROXY = 407
_FORBIDDEN = (401, 403, _PROXY)
# EMR sends some of these with status 400.
_BROKEN = ("InternalServerException", "InternalServerError", "InternalFailure", "InternalError")
_MISSING = ("ResourceNotFoundException", "NoSuchKey", "404", "NotFound")
_UNKNOWN = ("InvalidRequestException", "is not valid")  # EMR has no code of its own for a step that it does not know
_READS = ("get_", "list_", "describe_", "head_")
_CREDENTIAL_ERRORS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
    "SSOTokenLoadError", "SSOError", "UnauthorizedSSOTokenError", "NoAuthTokenError", "LoginError",
)  # fmt: skip
_SETTING_ERRORS = ("NoRegionError", "ProfileNotFound", "InvalidRegionError", "InvalidConfigError", "ConfigParseError")


def require_client(backend: str) -> None:
    """Refuse to go on without boto3.

    Raises:
        SettingsError: It is not installed, or not whole.
    """
    hint = f"pip install 'coreetl-driver[{backend}]'"
    if importlib.util.find_spec("boto3") is None:
        raise SettingsError(f"compute backend {backend!r} needs boto3, which is not installed", hint=hint)
    try:
        importlib.import_module("boto3")
    except ImportError as error:  # a part of it is missing
        raise SettingsError(f"compute backend {backend!r} cannot load boto3: {error}", hint=hint) from error


class Aws:
    """One region and one set of credentials. Threads may share it.

    Args:
        region: As ``us-east-1``; empty for boto3's own.
        profile: Of ``~/.aws/config``; empty for boto3's own search.
        timeout_s: How long an answer may take.
    """

    def __init__(self, region: str = "", profile: str = "", timeout_s: float = 30.0) -> None:
        self._region = region
        self._profile = profile
        self._timeout_s = timeout_s
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def call(self, service: str, operation: str, /, *, has_begun: bool = True, **arguments: Any) -> dict[str, Any]:
        """Ask for one thing, once.

        Args:
            service: As boto3 calls it: ``emr-serverless``.
            operation: As boto3 calls it: ``start_job_run``.
            has_begun: Whether it concerns an attempt that runs, which must not fail because the driver may not look
                after it for a while: what the driver lacks is then a ``TransientError``.
            arguments: The operation's own.

        Raises:
            TransientError: AWS does not answer, is busy, or does not let the driver in just now.
            UnauthorizedError: It does not let the driver in, and nothing has begun.
            NotFoundError: What the operation concerns does not exist.
            PermanentError: It refuses the request.
            SettingsError: There is no such profile or region, and nothing has begun.
        """
        with self.calling(f"{service} {operation}", has_begun):
            answer: dict[str, Any] = getattr(self._client(service), operation)(**arguments)
        return answer

    @contextmanager
    def calling(self, what: str, has_begun: bool = True) -> Iterator[None]:
        """The same errors for what an answer streams."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refused(error.response, what, has_begun) from None
        except BotoCoreError as error:
            raise self._failed(error, what, has_begun) from None

    def close(self) -> None:
        """Give back the connections; the next call makes new ones."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _client(self, service: str) -> Any:
        from boto3 import Session
        from botocore.config import Config

        with self._lock:  # making a client is not safe for threads, using one is
            if service not in self._clients:
                config = Config(
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    read_timeout=self._timeout_s,
                    retries={"mode": "standard", "total_max_attempts": 1},
                )
                session = Session(profile_name=self._profile or None, region_name=self._region or None)
                self._clients[service] = session.client(service, config=config)
            return self._clients[service]

    def _refused(self, response: Mapping[str, Any], what: str, has_begun: bool) -> DcpError:
        """AWS has answered with an error."""
        code, said = str(response["Error"].get("Code", "")), str(response["Error"].get("Message", "")).strip()
        answered = response.get("ResponseMetadata", {})
        status, headers = answered.get("HTTPStatusCode", 0), answered.get("HTTPHeaders", {})
        # Of a signature that does not fit, the lines below quote the request with its session token.
        message = f"{code}: {said.partition(_NEWLINE)[0][:_MAX_CHARACTERS]}"
        if code in (*_THROTTLED, *_BUSY) or status in (429, 503):
            is_refused = code in _THROTTLED or status == 429
            after_s, told = _seconds(headers.get("retry-after")), NOT_TAKEN if is_refused else None
            return TransientError(message, where=what, retry_after_s=after_s, code=told)
        if code in (*_EXPIRED, *_DENIED, *_CLOCK) or status in _FORBIDDEN:
            return self._unauthorized(message, what, has_begun, _hint(code, status))
        if code in _BROKEN or status >= 500:
            return TransientError(f"status {status}: {message}", where=what)
        if code in _MISSING or (code == _UNKNOWN[0] and _UNKNOWN[1] in said):
            return NotFoundError(message, where=what)
        if has_begun and what.rpartition(" ")[2].startswith(
            _READS
        ):  # what runs does not end because of how it is asked
            return TransientError(f"AWS does not say: {message}", where=what)
        return PermanentError(message, where=what)

    def _failed(self, error: Exception, what: str, has_begun: bool) -> DcpError:
        """The request was not sent, or has no answer."""
        kinds = {each.__name__ for each in type(error).__mro__}
        if kinds.intersection(_CREDENTIAL_ERRORS):
            missing = "NoCredentialsError" in kinds
            return self._unauthorized(str(error), what, has_begun, _NONE if missing else _RENEW, are_there=not missing)
        if "ParamValidationError" in kinds:
            return PermanentError(str(error), where=what)
        if kinds.intersection(_SETTING_ERRORS) and not has_begun:
            return SettingsError(str(error), where=what)
        return TransientError(str(error) or type(error).__name__, where=what)

    def _unauthorized(self, message: str, what: str, has_begun: bool, hint: str, *, are_there: bool = True) -> DcpError:
        with self._lock:
            self._clients.clear()  # they hold on to credentials; new ones are looked for next time
        whose = f"of profile {self._profile!r}" if self._profile else "of the driver"
        text = f"AWS refuses the credentials {whose}" if are_there else f"there are no credentials {whose} for AWS"
        text = f"{text}: {message}"
        if has_begun:
            return TransientError(f"{text}; {hint}", where=what)
        return UnauthorizedError(text, where=what, hint=hint)


def _hint(code: str, status: int) -> str:
    """What to do about a refusal."""
    if status == _PROXY:
        return "a proxy on the way wants credentials: HTTPS_PROXY, NO_PROXY"
    if code in _CLOCK:
        return "the driver's clock is wrong"
    return _RENEW if code in _EXPIRED else _POLICIES


def _seconds(retry_after: str | None) -> float | None:
    """The header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3); None when there is none."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
