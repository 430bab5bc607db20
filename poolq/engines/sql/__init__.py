"""What PostgreSQL, MySQL, MariaDB and SQLite have in common."""
