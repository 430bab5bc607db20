"""The `poolq` command: one file a group of commands.

What holds in all of them: stdout is data and stderr is for people; an error is one line, and its
exit code is the error's (errors.py); whatever is slow to import is imported by the command that
needs it. `poolq run` never imports the user's code: its workers do. `entry.py` is where it begins.
"""
