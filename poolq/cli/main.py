"""The root command, which turns each error into one line on stderr and an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from poolq.cli.group import LazyGroup
from poolq.common.escaping import clean
from poolq.errors import PoolqError

USAGE = 2
MAX_ERROR_LENGTH, MAX_ARGUMENT_LENGTH = 1000, 80  # characters of an error, bytes of an argument
INTERRUPTED = 130
#: The commands in the order of the help, each with its module in this folder.
COMMAND_MODULES = {
    "run": "pools.run", "dev": "pools.dev", "top": "pools.top", "status": "pools.status",
    "log": "pools.log", "health": "pools.pool", "pause": "pools.pool", "resume": "pools.pool",
    "scale": "pools.pool", "reload": "pools.pool", "drain": "pools.pool", "stop": "pools.pool",
    "kill": "pools.pool", "nodes": "stored.nodes", "make": "project.make", "db": "project.db",
    "queue": "stored.queue", "job": "stored.job", "failed": "stored.failed",
    "limit": "stored.limit", "schedule": "stored.schedule", "config": "project.config",
    "doctor": "stored.doctor", "demo": "project.demo", "version": "project.version",
}  # fmt: skip


@click.group(
    cls=LazyGroup,
    modules={name: f"poolq.cli.{file}" for name, file in COMMAND_MODULES.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="poolq", message="poolq %(version)s")
def poolq() -> None:
    """Background jobs for Python that do not get lost.

    Exit codes: 0 success, 1 the operation failed, 2 usage, 3 the application cannot be loaded (run)
    or the pool takes no new jobs (status), 69 no engine, or no such pool, 73 a pool of that name
    is already running, 75 a wait timed out, 78 bad configuration, 130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # if it cannot encode ü, write \xfc
    try:
        _check_encoding(sys.argv[1:] if args is None else args)
        code = poolq.main(args, prog_name="poolq", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        hint = f" ('{error.ctx.command_path} --help' shows the usage)" if error.ctx else ""
        return _print_error(error.format_message(), hint, USAGE)
    except click.Abort:
        return INTERRUPTED
    except PoolqError as error:
        return _print_error(str(error), "", error.exit_code)
    except BrokenPipeError:
        # The reader has closed the pipe. Python would flush stdout at exit, and fail again.
        sys.stdout = None
        return 1
    except OSError as error:
        sys.stdout = None  # as above
        return _print_error(f"{error.filename or 'the output'}: {error.strerror or error}", "", 1)
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Open closed standard streams (`>&-`) as /dev/null, so no other file gets their numbers."""
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8"))


def _check_encoding(args: Sequence[str]) -> None:
    """Reject an argument that is not UTF-8, since no name and no URL can contain it."""
    for arg in args:
        if not arg.isprintable() and any("\ud800" <= ch <= "\udfff" for ch in arg):
            raise click.UsageError(f"{os.fsencode(arg)[:MAX_ARGUMENT_LENGTH]!r} is not UTF-8")


def _print_error(text: str, hint: str, code: int) -> int:
    text = " ".join(text.split())
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[: MAX_ERROR_LENGTH // 2]} … {text[-MAX_ERROR_LENGTH // 2 :]}"
    click.echo(f"poolq: {clean(text)}{hint}", err=True)
    return code
