"""Why a driver elsewhere does not answer, as far as the words of gRPC's C core tell.

Its status is ``UNAVAILABLE`` whatever the reason; the reason is in the details, which no specification fixes: what is
not known gives no hint.
"""

from __future__ import annotations

_PORTS = "url names the gRPC port, 8611 unless the service says otherwise, not the one of HTTP"


def hint(url: str, details: str, *, shows_certificate: bool) -> str | None:
    """What to do next; None where nobody can tell.

    Args:
        url: Of the service, ``grpc://…`` or ``grpcs://…``.
        details: Of the error.
        shows_certificate: Whether this client has a certificate of its own.
    """
    is_encrypted = url.startswith("grpcs://")
    if "http1.x server" in details or "selected ALPN" in details:
        return f"that is an HTTP port: {_PORTS}"
    if "WRONG_VERSION_NUMBER" in details:
        return f"nobody speaks TLS there: grpc:// where the service has none; and {_PORTS}"
    if "refused" in details:
        return f"nobody listens there: `pretzel coreetl start` starts the service; and {_PORTS}"
    if "resolving" in details or "address lookup" in details:
        return "there is no host of that name"
    if "Socket closed" not in details and "reset" not in details:
        return None
    if not is_encrypted:
        return f"the connection was closed at once: grpcs:// where the service has TLS; and {_PORTS}"
    if not shows_certificate:
        return (
            "the connection was closed at once: the service may want a certificate ([coreetl_server] client_ca there): "
            "[coreetl] client_certificate and client_key"
        )
    return "the connection was closed at once: the service may not trust [coreetl] client_certificate"
