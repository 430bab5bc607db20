"""Limits: their windows, slots and holds, and the lines of jobs that wait for them."""
