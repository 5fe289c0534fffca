"""The Graph Runner as a service: many users at once, several replicas on one database.

``service`` is one entry for all handlers, whatever the transport; ``signing_in`` tells who calls, ``worker`` does what
goes on after the answer, ``progress`` and ``watching`` tell how it goes, ``problems`` is how errors cross the wire.
``grpc_api`` and ``http_api`` are the transports, ``serving`` starts and ends them.

Needs the extra ``server``. Commands in process must not import it.
"""
