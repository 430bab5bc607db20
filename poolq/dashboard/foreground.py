"""Runs a command of poolq on the terminal, in front of the screen, as an editor runs a command of
the shell.

The command asks its questions and shows its progress there. Only the command gets Ctrl-C, which
would otherwise end the pool, too. Meanwhile, the screen waits.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from poolq.config import Config

LOOK_INTERVAL = 0.25  # seconds between two calls of `leaves`
#: How to run a command of this poolq, which may not be installed.
OWN_COMMAND = (
    sys.executable, "-P", "-c",
    "import sys; sys.path.append(sys.argv.pop(1)); from poolq.cli import main; sys.exit(main())",
    str(Path(__file__).parents[2]),
)  # fmt: skip
#: Ctrl-Z is ignored, because no shell would be there to continue the command.
_SCRIPT = """
trap "" TSTP; trap : INT
printf "\\npoolq %s\\n" "$0"; "$@"; printf "enter goes back to the screen "; read -r _
"""


def run(words: Sequence[str], config: Config, leaves: Callable[[], bool]) -> None:
    """Run the command on the pool and the engine of these settings, then wait for enter. Hang up as
    soon as `leaves` returns True. The terminal must have its usual modes. Raises OSError."""
    settings = {
        "POOLQ_NAME": config.name, "POOLQ_ENGINE": config.engine,
        "POOLQ_NAMESPACE": config.namespace,
    }  # fmt: skip
    command = subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, shlex.join(words), *OWN_COMMAND, *words],
        stderr=subprocess.STDOUT, env=os.environ | settings, process_group=0,
    )  # fmt: skip
    with suppress(OSError):  # standard input is not the controlling terminal
        os.tcsetpgrp(0, command.pid)
    while command.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            command.wait(LOOK_INTERVAL)
        if leaves():
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGHUP)
            break
    with suppress(OSError):
        if os.tcgetpgrp(0) == command.pid:
            os.tcsetpgrp(0, os.getpgrp())
