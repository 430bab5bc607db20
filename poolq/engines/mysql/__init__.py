"""Jobs in MySQL 8.0.1 or newer, or MariaDB 10.6 or newer."""

from poolq.engines.mysql.engine import MySQLEngine

__all__ = ["MySQLEngine"]
