"""Who can change a folder or a file, other than the user and root (pure)."""

from typing import Protocol

WRITABLE_BY_ALL, WRITABLE_BY_GROUP = 0o002, 0o020


class Status(Protocol):
    """What of `os.stat_result` counts."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...


def reason_for(path: object, found: Status, uid: int, gid: int, owner: int = 0) -> str:
    """Return why `path`, with the status `found`, is not trusted, as the end of a sentence, or "".
    `uid`, `gid`: the user and the user's own group; `owner`: another user who is trusted."""
    if found.st_mode & WRITABLE_BY_ALL:
        return f"everybody may write to {path}"
    if found.st_mode & WRITABLE_BY_GROUP and found.st_gid not in (0, gid):
        return f"others of group {found.st_gid} may write to {path}"
    if found.st_uid not in (0, uid, owner):
        return f"{path} belongs to {_name(found.st_uid)}"
    return ""


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user in a container may have no name
        return f"user {uid}"
