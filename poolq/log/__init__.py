"""The log: events, their words and formats, pipes, and the process that writes them."""
