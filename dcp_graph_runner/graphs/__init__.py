"""Operations as graphs of named nodes: a graph is data that can be printed, a node is a function on the work in hand.

``graph`` is what runs them, ``work`` what they hand on, ``nodes`` the functions, ``catalogue`` the graphs. The same
nodes run in process and on a server; there the first ones, up to ``route``, answer the caller, and the others run in a
worker, again from the first of them when another replica takes over.

Must not import gRPC, HTTP, or anything of ``dcp_graph_runner.server``.
"""
