"""`poolq demo`: real jobs on real input, on SQLite in a temporary folder.

`jobs.py` is an application as a user would write it, and `work.py` dispatches its jobs. `run.py`
runs a pool as a process of its own, independent of the user's settings. `results.py` prints what
was done, by the engine's counters and by the files in the folder.
"""
