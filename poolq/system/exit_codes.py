"""Exit codes of a pool and its children that tell why (pure). errors.py has those of errors."""

BOOT_FAILED, CRASH_STORM, KILLED = 3, 4, 5
#: Exit codes of a child that tell why a pool cannot start: no broker, bad configuration.
CANNOT_START = (69, 78)
