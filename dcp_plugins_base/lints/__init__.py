"""What can be said about a derived dataset without an engine: one small function a finding, one table of them.

A module holds the lints of one subject; ``table.py`` lists them all and runs them. A lint reads its ``Subject`` and
yields diagnostics; it does no I/O. Must not import the engine or the primitives.
"""
