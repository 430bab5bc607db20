"""Announces to the pools of this host what a command has done to jobs, so that their logs and
screens show it. Such commands act on the engine, so a pool would not notice them otherwise.
"""

import os
from contextlib import suppress

import msgspec

from poolq.config import engine_urls
from poolq.control.protocol import VERSION
from poolq.engines.base import Engine
from poolq.system.runtime_folder import connect, running_pools

CONNECT_TIMEOUT = 1.0  # seconds
MAX_CHARS = 300


def announce(engine: Engine, command: str, text: str) -> None:
    """Tell the pools of this host, those that this user may command, that `command` has changed
    jobs of `engine`. Neither waits for an answer nor raises an error, since the command has
    succeeded."""
    request = {
        "v": VERSION,
        "do": "announce",
        "command": command,
        "text": text[:MAX_CHARS],
        "url": engine_urls.redact(engine.url),
        "namespace": engine.namespace,
    }
    line = msgspec.json.encode(request) + b"\n"
    for pool in running_pools(os.environ):
        with suppress(OSError), connect(pool, CONNECT_TIMEOUT) as connection:
            connection.settimeout(CONNECT_TIMEOUT)
            connection.sendall(line)
