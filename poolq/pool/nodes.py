"""What a node tells of itself with each beat, for other pools and for people."""

import platform

import msgspec

#: (boot, pid namespace, pid, start ticks)
Process = tuple[str, str, int, int]


class Info(msgspec.Struct, frozen=True):
    """`at`: when it was told, microseconds since the epoch by the engine's clock, 0: not known.
    `busy` workers; versions of poolq and Python; the session of all its processes, 0: not told."""

    pool: str
    host: str
    master: Process
    keeper: Process
    at: int = 0
    busy: int = 0
    poolq: str = ""
    python: str = ""
    session: int = 0


_decoder = msgspec.json.Decoder(Info)


def encode(info: Info) -> bytes:
    return msgspec.json.encode(info)


def decode(data: bytes) -> Info | None:
    """None: it has not told yet, or in another way."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def session(data: bytes) -> int:
    """Of all its processes; 0: it is not known."""
    found = decode(data)
    return found.session if found else 0


def versions() -> tuple[str, str]:
    """Of poolq, empty where it runs from its source, and of Python."""
    from importlib import metadata  # slow: it brings a reader of e-mail headers

    try:
        return metadata.version("poolq"), platform.python_version()
    except metadata.PackageNotFoundError:
        return "", platform.python_version()
