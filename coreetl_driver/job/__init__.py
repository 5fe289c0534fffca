"""The job program: what runs inside a compute backend, the same on every one.

``worker`` is the process of the ``local`` backend and of the engine that tests use: it reads requests from its
standard input and answers on its standard output. ``session`` opens the engine, embedded or elsewhere, ``ending`` ends
a session elsewhere, ``output`` checks a query's columns, ``sink`` writes them, ``extract`` is the job that reads a
database instead, ``engine_errors`` makes an engine's message readable.

Must not import the driver, its registry or pyiceberg: it holds no credentials and opens no catalog.
"""
