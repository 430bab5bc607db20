"""The commands that run a pool, and those for a running one."""
