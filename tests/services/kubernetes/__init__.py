"""A Kubernetes for the tests of compute backend sk8, and those tests: what is real in it, and what is played.

Real: the API server with its admission, validation, server-side apply, watches, authentication and RBAC, etcd, and the
garbage collector, all in one process that ``building`` compiles from Kubernetes's own modules and ``control_plane``
starts; in ``test_sk8_operator`` the Spark operator, its webhook and ``spark-submit`` too (``real_operator``).

Played: elsewhere the Spark operator (``operator``), so that tests take seconds and it can be late or refuse; the one
node's kubelet (``kubelet``), which runs the programs on a real Spark. Both watch the API server and write what the real
ones write. ``faults`` stands between the driver and the API server: a network and a server in trouble.
"""
