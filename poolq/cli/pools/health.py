"""`poolq health` checks a pool. Since probes call it often, this module imports very little.

The pool's master answers through its socket, without asking the broker.
"""

import os
import socket
import sys
from time import monotonic
from typing import Any

ANSWER_TIMEOUT = 2.0  # seconds
MAX_ANSWER_BYTES = 1 << 16
HEALTHY, UNHEALTHY, NO_POOL = 0, 1, 69
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_MAX_NAME_LENGTH = 64


def early(args: list[str]) -> int | None:
    """Check the pool and return the exit code. Return None if the check is left to `pool.py`."""
    probes = [word for word in args if word in ("--live", "--ready")]
    names = [word.removeprefix("--name=") for word in args if word.startswith("--name=")]
    if len(probes) != 1 or len(names) > 1 or len(probes) + len(names) != len(args) or "" in names:
        return None
    name = names[0] if names else os.environ.get("POOLQ_NAME") or name_in_files()
    return None if name is None else check(name, probes[0].removeprefix("--"))


def name_in_files() -> str | None:
    """Return the pool's name as `poolq.config` finds it, or None if the whole configuration must be
    loaded: if it has warnings or errors, if the name is in .env, or if the name is unusual."""
    from poolq.config.project import PROJECT_FILES, find_project, project_name, read_toml
    from poolq.errors import ConfigError

    warnings: list[str] = []
    try:
        folder, trusted = find_project(None, warnings.append)
        files = {one: folder / one for one in PROJECT_FILES if trusted and (folder / one).is_file()}
        texts = {one: path.read_bytes() for one, path in files.items()}
        if warnings or b"POOLQ_NAME" in texts.get(".env", b""):
            return None
        name: Any = project_name(folder)
        if b"name" in texts.get("poolq.toml", b""):
            name = read_toml(files["poolq.toml"]).get("name", name)
        elif "poolq.toml" not in texts and b"poolq" in texts.get("pyproject.toml", b""):
            table = read_toml(files["pyproject.toml"]).get("tool", {}).get("poolq", {})
            name = table.get("name", name)
    except (ConfigError, OSError, AttributeError):
        return None
    usual = isinstance(name, str) and 1 <= len(name) <= _MAX_NAME_LENGTH
    return name if usual and not name.strip(_NAME_CHARACTERS) else None


def check(name: str, probe: str) -> int:
    """Ask a pool and return the exit code. If the pool is not healthy, print why to stderr."""
    from poolq.system.runtime_folder import connect, running_pools

    found = next((pool for pool in running_pools(os.environ) if pool.name == name), None)
    if found is None:
        return _print_error(f"no pool named {name!r} runs here", NO_POOL)
    try:
        with connect(found, ANSWER_TIMEOUT) as line:
            line.settimeout(ANSWER_TIMEOUT)
            line.sendall(b'{"v":1,"do":"%s"}\n' % probe.encode())
            answer = _receive(line)
    except (TimeoutError, BlockingIOError):
        why = f"no answer within {ANSWER_TIMEOUT:g} s"
        return _print_error(f"pool {name!r} is not {probe}: {why}", UNHEALTHY)
    except OSError as error:
        return _print_error(f"pool {name!r} is not {probe}: {error.strerror or error}", UNHEALTHY)
    if b'"ok":true' in answer:
        return HEALTHY
    return _print_error(f"pool {name!r} is not {probe}: {_reason(answer)}", UNHEALTHY)


def _receive(line: socket.socket) -> bytes:
    """Return a line, or its first MAX_ANSWER_BYTES. Raises OSError."""
    data, deadline = b"", monotonic() + ANSWER_TIMEOUT
    while not data.endswith(b"\n") and len(data) < MAX_ANSWER_BYTES:
        line.settimeout(max(0.001, deadline - monotonic()))
        chunk = line.recv(4096)
        if not chunk:
            break
        data += chunk
    return data


def _reason(answer: bytes) -> str:
    import json

    try:
        return str(json.loads(answer)["error"])
    except (ValueError, TypeError, LookupError):
        return "the pool has ended without an answer"


def _print_error(text: str, code: int) -> int:
    from poolq.common.escaping import clean

    sys.stderr.write(f"poolq: {clean(text)}\n")
    return code
