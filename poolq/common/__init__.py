"""Pure helpers that every package may use; they know nothing of jobs, processes or engines."""
