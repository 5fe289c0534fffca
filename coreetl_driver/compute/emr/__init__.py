"""Backend ``emr``: steps on a cluster of Amazon EMR, and job runs of EMR Serverless.

``settings`` reads ``[emr]``; ``serverless`` and ``steps`` know the two services, which look the same to ``backend``:
``service`` says how. Imports nothing of the driver itself.
"""

from coreetl_driver.compute.emr.backend import EmrBackend

__all__ = ["EmrBackend"]
