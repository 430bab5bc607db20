"""Exit codes by which a pool and its children report a reason (pure). errors.py has those of
errors.
"""

BOOT_FAILED, CRASH_STORM, KILLED = 3, 4, 5
#: Exit codes of a child that explain why a pool cannot start: no broker, bad configuration.
CANNOT_START = (69, 78)
