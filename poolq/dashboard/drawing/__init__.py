"""Turns a snapshot, the state of the screen and a size into lines (pure)."""
