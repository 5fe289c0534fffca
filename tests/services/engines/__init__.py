"""Spark SQL on the embedded engine and on a real Spark, side by side.

``inputs`` holds the rows that all snippets read, ``agreeing`` what must give the same on both, ``differing`` what does
not, each with the lint that says so.
"""
