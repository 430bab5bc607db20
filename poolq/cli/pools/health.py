"""`poolq health` checks a pool. Since probes call it often, this module imports very little.

The pool's master answers through its socket, without asking the broker.
"""

import os
import socket
import sys
from time import monotonic

ANSWER_TIMEOUT = 2.0  # seconds
MAX_ANSWER_BYTES = 1 << 16
HEALTHY, UNHEALTHY, NO_POOL = 0, 1, 69
_CONFIG_FILES = {".env": b"POOLQ_NAME", "poolq.toml": b"name", "pyproject.toml": b"poolq"}
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_MAX_NAME_LENGTH = 64


def early(args: list[str]) -> int | None:
    """Check the pool and return the exit code, or None for arguments left to `probe.py`."""
    probes = [word for word in args if word in ("--live", "--ready")]
    names = [word.removeprefix("--name=") for word in args if word.startswith("--name=")]
    if len(probes) != 1 or len(names) > 1 or len(probes) + len(names) != len(args) or "" in names:
        return None
    name = names[0] if names else os.environ.get("POOLQ_NAME") or name_in_files()
    return None if name is None else check(name, probes[0].removeprefix("--"))


def name_in_files() -> str | None:
    """Return the pool's name: from a TOML file, or else the name of the project's folder, which is
    the current one if there are no project files. Returns None if it cannot be found here, so that
    `probe.py` must load the whole configuration."""
    folder = os.getcwd()  # noqa: PTH109  # pathlib is slow to import
    while True:
        found = [name for name in _CONFIG_FILES if os.path.isfile(f"{folder}/{name}")]  # noqa: PTH113  # as above
        if found or folder == "/":
            break
        folder = os.path.dirname(folder)  # noqa: PTH120  # as above
    if not found:
        return _simple(os.path.basename(os.getcwd()))  # noqa: PTH109, PTH119  # as above
    if not all(map(_is_ours, (folder, *(f"{folder}/{name}" for name in found)))):
        return None
    project = os.path.basename(folder)  # noqa: PTH119  # as above
    texts = {}
    for file_name in found:
        with open(f"{folder}/{file_name}", "rb") as file:  # noqa: PTH123  # as above
            text = file.read()
        if _CONFIG_FILES[file_name] in text:
            texts[file_name] = text
    if ".env" in texts:
        return None
    file_name = "poolq.toml" if "poolq.toml" in found else "pyproject.toml"
    if file_name not in texts:
        return _simple(project)
    return _in_toml(texts[file_name], file_name, project)


def _is_ours(path: str) -> bool:
    """Return whether `config/trusted_folders.py` trusts the folder, or the file in it, anyway."""
    from poolq.common.trust import reason_for

    found = os.stat(path)  # noqa: PTH116  # as above
    return not reason_for(path, found, os.geteuid(), os.getegid())


def _simple(name: str) -> str | None:
    """Return the name, or None for an unusual name, which `probe.py` checks or changes."""
    odd = name.strip(_NAME_CHARACTERS) or not 1 <= len(name) <= _MAX_NAME_LENGTH
    return None if odd else name


def _in_toml(text: bytes, file_name: str, project: str) -> str | None:
    """Like `name_in_files`, for the text of a TOML file."""
    import tomllib

    try:
        table = tomllib.loads(text.decode())
        if file_name == "pyproject.toml":
            table = table.get("tool", {}).get("poolq", {})
        return _simple(table.get("name", project))
    except (ValueError, AttributeError, TypeError):
        return None


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
