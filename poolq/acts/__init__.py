"""What people do to jobs, queues and pools, for the commands and for the screen.

Each act is defined here once: which jobs it selects (`filters.py`, `job_ids.py`), how it is done
and why some jobs stay as they are (`on_jobs.py`, `revising.py`), and its texts. The commands and
the screen only read a person's input, ask for confirmation and show the outcome.
"""
