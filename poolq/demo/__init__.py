"""`poolq demo`: real jobs on real input, on SQLite in a temporary folder.

`jobs.py` is an application as a user would write it, and `work.py` dispatches its jobs. `run.py`
runs a producer and a pool as separate processes, independent of the user's settings. `check.py`
compares the engine's counters with the files in the folder, and `summary.py` prints the result.
"""
