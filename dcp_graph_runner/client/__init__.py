"""The Graph Runner from elsewhere: what ``pretzel --server`` works with.

``remote`` has the control plane's methods, done by a server; ``client`` asks any handler of the table; ``connection``
is the one room that imports gRPC, on first use. Manifests are loaded here, and located here: a server never sees them.

Must not import what only the server needs: stores, graphs, ``dcp_graph_runner.server``'s services.
"""

from __future__ import annotations

import os

# gRPC's C core writes lines of its own to stderr, and reads this when it is imported; our errors say what matters.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
