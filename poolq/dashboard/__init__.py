"""The dashboard in a terminal: keys, panes, drawing, and actions on the pool."""
