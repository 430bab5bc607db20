"""Jobs in PostgreSQL 15 or newer."""

from poolq.engines.postgresql.engine import PostgreSQLEngine

__all__ = ["PostgreSQLEngine"]
