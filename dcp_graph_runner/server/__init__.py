"""The Graph Runner as a service: many users at once, several replicas on one database.

``service`` is one entry for all handlers, whatever the transport; ``signing_in`` tells who calls, ``worker`` does what
goes on after the answer, ``progress`` and ``watching`` tell how it goes, ``problems`` is how errors cross the wire.
``grpc_api`` and ``http_api`` are the transports, ``serving`` starts and ends them as ``settings`` says;
``calls`` is what both answer a call with. ``shapes`` says what fields of requests and answers are: ``wire`` turns them
into messages of ``dcp.v1`` and back, ``http_requests`` reads them, ``openapi`` describes them. ``telemetry`` traces,
``metrics`` measures what ``readings`` reads and ``observing`` sees, ``logs`` writes lines without secrets.

Needs the extra ``server``. Commands in process must not import it.
"""
