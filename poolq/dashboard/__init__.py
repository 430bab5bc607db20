"""The screen in a terminal: keys, panes, drawing, and what is done to the pool."""
