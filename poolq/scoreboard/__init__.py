"""The shared memory of a pool's processes: layout, rows, pages, counts."""
