"""The `poolq` command: one file a group of commands.

What holds in all of them: stdout is data and stderr is for people; an error is one line, and its
exit code is the error's (errors.py); whatever is slow to import is imported by the command that
needs it. `poolq run` never imports the user's code: its workers do.
"""

import sys


def main() -> int:
    """Run the process's own command line and return its exit code."""
    args = sys.argv[1:]
    if args[:1] == ["run"]:
        from poolq.cli import early

        early.take_signals()
        return early.leave(early.TAKEN if early.is_refused(args[1:]) else _whole(args))
    if args[:1] == ["health"]:
        from poolq.cli import health

        code = health.early(args[1:])
        if code is not None:
            return code
    return _whole(args)


def _whole(args: list[str]) -> int:
    from poolq.cli.main import main as run

    return run(args)
