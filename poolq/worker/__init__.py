"""The worker's process: claim, run, settle."""
