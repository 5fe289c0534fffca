"""What the Graph Runner can be asked: one table of handlers, for ``pretzel`` in process and through a server alike.

A request and its answer are frozen attrs classes; a handler is a function from a control plane and a request to the
answer. gRPC (``dcp.v1``), HTTP/JSON, OpenAPI and the CLI are all made from this table, so none of them can do what
another cannot. ``handlers`` says what a handler is, ``table`` lists all of them, the others hold a service each.

Must not import gRPC, HTTP, or anything of ``dcp_graph_runner.server``: commands in process use it too.
"""
