"""Alembic's environment; ``versions`` holds the migrations. Imports nothing but alembic, SQLAlchemy and ``tables``."""
