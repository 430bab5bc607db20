"""Administration: what is stored, as people find, list, count and change it."""
