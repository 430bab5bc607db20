"""Claims: a worker's steps, the starts of its jobs, and what becomes of them."""
