"""Training sets that are correct in time: to each label the features as they were known at its timestamp, none later.

``labels.py`` reads the labels, ``history.py`` a view's history, ``columns.py`` makes the keys and timestamps of both
comparable; ``selecting.py`` says which feature becomes which column; ``joining.py`` joins one view, and
``training_set.py`` puts the parts together and writes them.

Imported by the command that makes a training set and by nothing else, so that these modules may import pyarrow and
DuckDB at their top. Must not import manifests, logical plans or the catalog: tables are handed in.
"""
