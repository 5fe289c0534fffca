"""What ``test`` checks on an engine: the query's analysis, the manifest's test cases and its checks.

Nothing is written and no job is submitted. ``report.py`` runs the steps; ``engines.py`` shares one engine among the
manifests of a call; ``values.py`` compares rows. Must not import the primitives.
"""
