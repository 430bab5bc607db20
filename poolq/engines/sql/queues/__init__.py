"""Queues: which have something to do, whose turn it is, and who is woken."""
