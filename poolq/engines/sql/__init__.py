"""What MySQL, MariaDB and SQLite have in common."""
