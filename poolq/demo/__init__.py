"""`poolq demo`: the main job on real input, on SQLite in a folder of its own.

`jobs.py` is an application as a user would write it, `work.py` what it is given to do. `run.py`
runs a producer and a pool as processes of their own, which know nothing of the user's settings;
`check.py` compares the engine's counters with what lies in the folder; `summary.py` words it.
"""
