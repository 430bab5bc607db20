"""The screen in a terminal: keys, signals, frames, and what is done to the pool."""
