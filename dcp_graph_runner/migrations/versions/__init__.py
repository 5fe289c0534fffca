"""One module a schema revision. A migration never changes once released and does not import ``tables``' tables."""
