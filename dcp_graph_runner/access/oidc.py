"""Bearer tokens: signed by the issuer's key, for this audience, not expired; and what they say of their bearer.

What is wrong with a token is said by kind and never by quoting it: these messages are shown, logged and audited.

Source: RFC 6750, RFC 7519, RFC 8725 (best practices), OpenID Connect Core 1.0 section 3.1.3.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dcp_core.errors import SettingsError, UnauthenticatedError
from dcp_core.settings import Settings
from dcp_graph_runner.access.principal import Authenticates, Principal, header
from dcp_graph_runner.access.settings import SECTION, AuthSettings, is_loopback
from dcp_graph_runner.access.signing_keys import SigningKeys

IDENTITY_HEADER = "x-dcp-identity"
LONGEST_TOKEN = 16 * 1024
LONGEST_IDENTITY = 256
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")
_SIGN_IN = "send `authorization: Bearer <token>`, a token of the issuer that [auth] names"


class Authenticator:
    """Checks the bearer tokens of one issuer. Safe to use from several threads.

    Args:
        auth: With an issuer.
        keys: The issuer's.
    """

    def __init__(self, auth: AuthSettings, keys: SigningKeys | None = None) -> None:
        self._auth = auth
        self._keys = keys or SigningKeys(auth)

    @classmethod
    def from_settings(cls, settings: Settings) -> Authenticator:
        """For section ``[auth]``.

        Raises:
            SettingsError: It is wrong, or missing, or PyJWT is not installed.
        """
        auth = AuthSettings.of(settings)
        if not auth.is_on:
            raise SettingsError(f"[{SECTION}] names no issuer, so no token can be checked")
        try:
            import cryptography
            import jwt
        except ImportError as error:
            raise SettingsError(
                f"[{SECTION}] needs {error.name}", hint="pip install 'dcp-graph-runner[server]'"
            ) from None
        del cryptography, jwt  # looked for now, so that it is no surprise at the first call
        return cls(auth)

    def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Whose token a call carries; waits for the issuer when its keys are not known.

        Args:
            headers: Of the call; names in any case.

        Raises:
            UnauthenticatedError: The token is missing, malformed, expired … Never retried.
            TransientError: The issuer's keys cannot be had now.
        """
        token = _bearer(header(headers, "authorization"))
        claims = self._claims(token)
        auth = self._auth
        identity = _claim(claims, auth.identity_claim)
        if not isinstance(identity, str) or not identity.strip() or len(identity) > LONGEST_IDENTITY:
            raise UnauthenticatedError(f"the token has no claim {auth.identity_claim!r} that names somebody")
        if not identity.isprintable():
            raise UnauthenticatedError(f"the token's claim {auth.identity_claim!r} holds characters that no name has")
        if auth.identity_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
            raise UnauthenticatedError("the token's email address is not verified by its issuer")
        return Principal(
            identity,
            _names(claims, auth.groups_claim),
            str(claims["sub"]),
            auth.issuer,
            _names(claims, auth.tenants_claim) if auth.tenants_claim else None,
            _at(claims["exp"]),
        )

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Of a token that counts."""
        import jwt

        auth = self._auth
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthenticatedError("the token is malformed", hint=_SIGN_IN) from None
        algorithm, key_id = head.get("alg"), head.get("kid")
        # Before any key is looked for: what a token says of itself must not choose how it is checked.
        if algorithm not in auth.algorithms:
            raise UnauthenticatedError(
                "the token's algorithm does not count here", hint=f"allowed: {', '.join(auth.algorithms)}"
            )
        if not isinstance(key_id, str) or not key_id:
            raise UnauthenticatedError("the token is malformed: it names no key (kid)")
        key = self._keys.find(key_id, algorithm)
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=list(auth.audience),
                issuer=auth.issuer,
                leeway=auth.leeway_s,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise UnauthenticatedError(self._in_words(error, token, key), hint=_SIGN_IN) from None

    def _in_words(self, error: Exception, token: str, key: Any) -> str:
        """Which rule the token breaks."""
        import jwt

        if isinstance(error, jwt.ExpiredSignatureError):
            checked = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
            claims = jwt.decode(token, key, algorithms=[key.algorithm_name], options=checked)  # type: ignore[arg-type]
            return f"the token expired at {_at(claims['exp']).isoformat()}"
        if isinstance(error, jwt.MissingRequiredClaimError):
            return f"the token has no claim {error.claim!r}"
        for kind, words in _WORDS.items():
            if isinstance(error, getattr(jwt, kind)):
                return words.format(issuer=self._auth.issuer, audience=" or ".join(self._auth.audience))
        return "the token is malformed"


_WORDS = {
    "ImmatureSignatureError": "the token is not valid yet",
    "InvalidAudienceError": "the token is for another audience, not for {audience}",
    "InvalidIssuerError": "the token is from another issuer, not from {issuer}",
    "InvalidSignatureError": "the token's signature is wrong",
    "InvalidAlgorithmError": "the token's algorithm is not the one of its key",
    "InvalidKeyError": "the key that the token is signed with is too short",
}
"""What is wrong, by the name of PyJWT's exception."""


class LocalAuthenticator:
    """Where nobody signs in: whoever reaches this machine's loopback is who they say they are.

    Args:
        identity: Who a caller is that does not say.
    """

    def __init__(self, identity: str) -> None:
        self._identity = identity

    def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Who the header ``x-dcp-identity`` names, else the server's own identity.

        Raises:
            UnauthenticatedError: The name is none.
        """
        named = header(headers, IDENTITY_HEADER).strip() or self._identity
        if len(named) > LONGEST_IDENTITY or not named.isprintable():
            raise UnauthenticatedError(f"{IDENTITY_HEADER} is no name")
        return Principal(named)


def authenticator(settings: Settings, identity: str, host: str) -> Authenticates:
    """What a server asks about every call.

    Args:
        settings: With ``[auth]``, or without.
        identity: The server's own; for calls without a token where nobody signs in.
        host: What the server binds to.

    Raises:
        SettingsError: ``[auth]`` is wrong, or it is missing and others than this machine reach ``host``.
    """
    if AuthSettings.of(settings).is_on:
        return Authenticator.from_settings(settings)
    if not is_loopback(host):
        raise SettingsError(
            f"a server on {host} needs [{SECTION}]: without it whoever reaches it may do anything",
            hint=f"set issuer and audience in [{SECTION}], or bind to 127.0.0.1",
        )
    return LocalAuthenticator(identity)


def _bearer(value: str) -> str:
    """The token of an ``authorization`` header."""
    scheme, _, token = value.strip().partition(" ")
    token = token.strip()
    if not value.strip():
        raise UnauthenticatedError("the token is missing", hint=_SIGN_IN)
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("the authorization header holds no bearer token", hint=_SIGN_IN)
    if len(token) > LONGEST_TOKEN:
        raise UnauthenticatedError(f"the token is malformed: it is longer than {LONGEST_TOKEN} characters")
    if not token.isascii() or any(each.isspace() for each in token):
        raise UnauthenticatedError("the token is malformed", hint=_SIGN_IN)
    return token


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim; ``a.b`` is the claim ``b`` in the claim ``a``, unless one is called just so."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _names(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The texts in a claim; a single one may stand for a list."""
    found = _claim(claims, name)
    listed = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return tuple(each for each in listed if isinstance(each, str) and each)


def _at(seconds: Any) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        raise UnauthenticatedError("the token is malformed: it expires at a time that cannot be") from None
