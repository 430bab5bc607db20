"""Pure helpers that every room may use; they know nothing of jobs, processes or engines."""
