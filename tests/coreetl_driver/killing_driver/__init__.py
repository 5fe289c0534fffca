"""SQLite's ADBC driver with an accident: it ends its process, or stands still, when it is told to.

What to do is in a file beside the database, for a worker takes orders from nowhere else: ``kill 2`` or ``hold 2``, the
number being that of the batch before which it happens. ``hold`` lasts until a file ``….go`` is there.
"""
