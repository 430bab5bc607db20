"""How text looks on a terminal: cut to columns, and styled, for the commands and for the screen."""
