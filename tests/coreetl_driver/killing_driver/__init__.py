"""SQLite's ADBC driver with an accident: it stands still when it is told to.

What to do is in a file beside the database, for a worker takes orders from nowhere else: ``hold 2``, the number being
that of the batch before which it happens. It lasts until a file ``….go`` is there.
"""
