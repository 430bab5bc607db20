"""The `poolq` command, with one folder per kind of command: those that run a pool or talk to one
(`pools`), those on what the engine stores (`stored`), and those for an application (`project`).

Rules of all commands: data goes to stdout, messages to stderr. An error is one line, with the exit
code of its class (errors.py). Each command imports the slow modules that it needs. The process of
`poolq run` never imports the user's code; its templates and workers do.
"""

import sys


def main() -> int:
    """Run the process's own command line and return its exit code."""
    args = sys.argv[1:]
    if args[:1] == ["run"]:
        from poolq.cli.pools import early

        early.take_signals()
        refused = early.is_refused(args[1:])
        return early.delay_exit(early.NAME_TAKEN if refused else _run_command(args))
    if args[:1] == ["health"]:
        from poolq.cli.pools import health

        code = health.early(args[1:])
        if code is not None:
            return code
    return _run_command(args)


def _run_command(args: list[str]) -> int:
    from poolq.cli.main import main as run

    return run(args)
