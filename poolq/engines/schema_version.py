"""The version of what an engine stores: tables, or keys of Redis. Nothing converts another version.

Each engine has its own number, which each change of its tables or keys raises.
"""

from poolq.config.own_command import own_command
from poolq.errors import SchemaError


def check_version(
    found: int, needed: int, redacted_url: str, place: str = "", has_roles: bool = False
) -> None:
    """Raise SchemaError unless the version is the one that this code needs. 0 stands for no
    tables at this `place`. `has_roles`: whether others may be allowed to make them."""
    if found == needed:
        return
    if found == 0:
        other = f", or have a role that may make tables run what {own_command('db sql')} prints"
        raise SchemaError(
            f"{redacted_url} has no poolq tables{place}: run {own_command('db migrate')}"
            + other * has_roles
        )
    has = f"{redacted_url} has version {found}, and this poolq needs {needed}"
    if found < needed:
        raise SchemaError(
            f"{has}: this store was made by an unreleased poolq;"
            " drain it with that code, or use another namespace"
        )
    raise SchemaError(f"{has}: install the newer poolq that made this store")
