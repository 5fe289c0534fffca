"""Who asks, and what they may: OIDC tokens, tenants, and the named rules behind the ``authorize`` hook.

Knows no transport: headers come in as a mapping, errors go out as ``DcpError``. PyJWT is imported when the first token
is checked. Must not import the handlers, gRPC or Starlette.

Source: design.md section 9.
"""
