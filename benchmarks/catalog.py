"""Who takes part: each contender's packages, how its two workers start, and who says that so.

Its jobs and its producer are the module of its name in `benchmarks/peers/`. In a command `{bin}` is
its environment's bin folder. `jobs` is how many of them a drain is given, so that it takes some
seconds.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

PYTHON_313 = "/usr/bin/python3.13"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Contender(NamedTuple):
    """`setup`: in words, for the table; `docs`: the page that recommends it. `peer`: poolq must be
    ahead of it; `pure`: its core is Python."""

    name: str
    module: str
    engine: str
    jobs: int
    workers: tuple[str, ...]
    setup: str
    packages: tuple[str, ...] = ()
    python: str = ""
    docs: str = ""
    env: Mapping[str, str] = NOTHING
    peer: bool = True
    pure: bool = True

    @property
    def key(self) -> str:
        """Its name among all: several engines have a bare loop."""
        return f"{self.name} on {self.engine}"


def _poolq(engine: str, jobs: int, *flags: str, name: str = "poolq") -> Contender:
    command = " ".join(("{bin}/python -m poolq run --procs=2", *flags))
    setup = "default settings" if not flags else f"default settings, {' '.join(flags)}"
    return Contender(name, "poolq", engine, jobs, (command,), setup, peer=False)


def _bare(engine: str, jobs: int, how: str = "batch") -> Contender:
    command = f"{{bin}}/python -m benchmarks.peers.bare_{engine} {how}"
    setup = "100 at a time" if how == "batch" else "one by one"
    name = f"bare {how} loop"
    return Contender(name, f"bare_{engine}", engine, jobs, (command,) * 2, setup, peer=False)


POOLQ = {
    "redis": _poolq("redis", 90_000),
    "sqlite": _poolq("sqlite", 60_000),
    "mariadb": _poolq("mariadb", 30_000),
}
STRICT = _poolq("redis", 20_000, "--prefetch=1", name="poolq --prefetch=1")
BARE = {
    "redis": _bare("redis", 300_000),
    "sqlite": _bare("sqlite", 200_000),
    "mariadb": _bare("mariadb", 60_000),
}
ONE_BY_ONE = _bare("mariadb", 3000, "one-by-one")

HUEY = Contender(
    "huey",
    "huey",
    "redis",
    12_000,
    ("{bin}/huey_consumer benchmarks.peers.huey.huey -k process -w 2 -n -q",),
    "2 processes, blocking pop, no results stored",
    ("huey==3.5.4", "redis[hiredis]==8.1.0"),
    docs="https://huey.readthedocs.io/en/latest/consumer.html",
)
PEERS = (HUEY,)
ALL = (*POOLQ.values(), STRICT, *BARE.values(), ONE_BY_ONE, *PEERS)
