"""What people do to jobs, queues and pools, for the commands and for the screen.

Each act is here once: which jobs it selects (`filters.py`, `job_ids.py`), how it is done and why
some jobs stay as they are (`on_jobs.py`, `revising.py`), and its words. Commands and the screen
only read what a person gives, ask, and show.
"""
