"""A Kubernetes for the tests of compute backend sk8: what is real in it, and what is played.

Real: the API server with its admission, validation, server-side apply, watches, authentication and RBAC, etcd, and the
garbage collector, all in one process that ``building`` compiles from Kubernetes's own modules; the custom resource's
definition, from the Spark operator's module. ``control_plane`` starts it.

Played: the Spark operator (``operator``) and the one node's kubelet (``kubelet``), which watch the API server, write
what the real ones write, and run the programs on a real Spark. ``faults`` stands between the driver and the API server
and plays a network and a server in trouble.
"""
