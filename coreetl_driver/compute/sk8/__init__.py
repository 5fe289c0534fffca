"""Backend ``sk8``: jobs as SparkApplication resources that Kubeflow's Spark operator runs on Kubernetes.

``backend`` is what the driver calls; ``settings`` the section of ``dcp.toml``; ``resources`` makes what is sent to the
cluster and reads what it says, without any I/O; ``spark_runner`` starts, watches and stops applications through
``kubernetes_api``, which alone opens connections.

Must not import the driver or its job registry.
"""
