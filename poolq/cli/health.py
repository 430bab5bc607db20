"""`poolq health`: is a pool well? For probes, which ask often: it imports next to nothing.

The pool's master answers through its socket, from what it knows; no broker is asked.
"""

import os
import socket
import sys

PATIENCE = 2.0  # seconds that the pool has to answer
WELL, ILL, NOBODY = 0, 1, 69
_MARKS = {".env": b"POOLQ_NAME", "poolq.toml": b"name", "pyproject.toml": b"poolq"}
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def early(args: list[str]) -> int | None:
    """The exit code, if the arguments are those of a probe; None: the whole command shall see."""
    probes = [word for word in args if word in ("--live", "--ready")]
    names = [word.removeprefix("--name=") for word in args if word.startswith("--name=")]
    if len(probes) != 1 or len(names) > 1 or len(probes) + len(names) != len(args) or "" in names:
        return None
    name = names[0] if names else os.environ.get("POOLQ_NAME") or name_in_files()
    return None if name is None else check(name, probes[0].removeprefix("--"))


def name_in_files() -> str | None:
    """The default one, unless a file may say otherwise."""
    folder = os.getcwd()  # noqa: PTH109  # pathlib is slow to import
    while True:
        found = [mark for mark in _MARKS if os.path.isfile(f"{folder}/{mark}")]  # noqa: PTH113  # as above
        if found or folder == "/":
            break
        folder = os.path.dirname(folder)  # noqa: PTH120  # as above
    texts = {}
    for mark in found:
        with open(f"{folder}/{mark}", "rb") as file:  # noqa: PTH123  # as above
            text = file.read()
        if _MARKS[mark] in text:
            texts[mark] = text
    if ".env" in texts:
        return None
    mark = "poolq.toml" if "poolq.toml" in found else "pyproject.toml"
    return _in_toml(texts[mark], mark) if mark in texts else "default"


def _in_toml(text: bytes, mark: str) -> str | None:
    """The name that it sets, or the default one; None where the whole command has to judge."""
    import tomllib

    try:
        table = tomllib.loads(text.decode())
        if mark == "pyproject.toml":
            table = table.get("tool", {}).get("poolq", {})
        name = table.get("name", "default")
        return name if name and not name.strip(_PLAIN) else None
    except (ValueError, AttributeError):
        return None


def check(name: str, probe: str) -> int:
    """Ask the pool of that name; 0 if it is well, else the reason is told on stderr."""
    from poolq.system.runtime_folder import connect, running_pools

    found = next((pool for pool in running_pools(os.environ) if pool.name == name), None)
    if found is None:
        return _say(f"no pool named {name!r} runs here", NOBODY)
    try:
        with connect(found, PATIENCE) as line:
            line.settimeout(PATIENCE)
            line.sendall(b'{"v":1,"do":"%s"}\n' % probe.encode())
            answer = _receive(line)
    except (TimeoutError, BlockingIOError):
        return _say(f"pool {name!r} is not {probe}: no answer within {PATIENCE:g} s", ILL)
    except OSError as error:
        return _say(f"pool {name!r} is not {probe}: {error.strerror or error}", ILL)
    if b'"ok":true' in answer:
        return WELL
    return _say(f"pool {name!r} is not {probe}: {_reason(answer)}", ILL)


def _receive(line: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
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
        return "it ended without an answer"


def _say(text: str, code: int) -> int:
    from poolq.common.escaping import clean

    sys.stderr.write(f"poolq: {clean(text)}\n")
    return code
