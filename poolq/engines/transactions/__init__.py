"""Dispatching in the application's own transactions: `poolq.within` and `poolq.after_commit`."""
