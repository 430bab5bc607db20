"""What `poolq doctor` reports about a Redis or Valkey server, and what a starting pool logs."""

from time import time
from typing import Any

from poolq.engines.base import Check, ServerInfo
from poolq.engines.redis.client import RedisClient
from poolq.engines.reports import void_keys
from poolq.errors import EngineError

#: Seconds by which the server's clock may differ from this host's without a warning.
MAX_CLOCK_DIFFERENCE = 1.0
#: MAX_UNIQUE_KEYS: how many unique keys are checked. MAX_SCANS: how many SCAN commands look for
#: them, each in about 1000 keys of the server.
MAX_UNIQUE_KEYS, MAX_SCANS = 1000, 1000

_FSYNC = {
    "always": ("ok", "every acknowledged write is on disk, so a power cut loses nothing"),
    "everysec": (
        "ok",
        "a crash of the server loses nothing, and a power cut at most about the last second",
    ),
    "no": ("warn", "the kernel decides when to write, so a power cut may lose half a minute"),
}


def now(client: RedisClient) -> int:
    """Return the server's clock, in microseconds since the epoch."""
    seconds, micros = client.call(b"TIME")
    return int(seconds) * 1_000_000 + int(micros)


def server(client: RedisClient) -> ServerInfo | None:
    """Return the server's version and memory. In a cluster, the memory of one node would say
    little."""
    info = _info(client, b"server", b"memory")
    if not info:
        return None
    name, version, _ = _kind(info)
    alone = info.get("redis_mode") != "cluster"
    used, most = (int(info.get(one, 0)) * alone for one in ("used_memory", "maxmemory"))
    return ServerInfo(f"{name} {version}", used, most)


def checks(client: RedisClient) -> list[Check]:
    before = time()
    server = now(client) / 1e6
    info = _info(client)
    return [
        Check("reachable", "ok", client.redacted_url),
        _version(info),
        _eviction(info),
        _durability(client, info),
        _replication(info),
        _clock(server - (before + time()) / 2),
        *_unique_keys(client),
    ]


def warnings(client: RedisClient) -> list[str]:
    """Return warnings about settings with which the server may lose jobs."""
    check = _eviction(_info(client))
    return [check.text] if check.level == "bad" else []


def _unique_keys(client: RedisClient) -> list[Check]:
    """Return one check if some unique keys belong to jobs that are gone, else none."""
    names: list[bytes] = []
    cursor = b"0"
    for _ in range(MAX_SCANS):
        pattern = f"{client.prefix}unique:*"
        cursor, found = client.call(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", 1000)
        names += found
        if cursor == b"0" or len(names) >= MAX_UNIQUE_KEYS:
            break
    count = int(client.run("void_keys", *names[:MAX_UNIQUE_KEYS]))
    return [void_keys(count)] if count else []


def _info(client: RedisClient, *sections: bytes) -> dict[str, str]:
    """Return these sections of INFO, or all usual ones, as a mapping; empty if the server's ACL
    forbids it."""
    try:
        text: bytes = client.call(b"INFO", *sections)
    except EngineError as error:
        if "NOPERM" not in str(error):
            raise
        return {}
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _durability(client: RedisClient, info: dict[str, str]) -> Check:
    if not info:
        return Check("durability", "warn", "unknown: the server's ACL forbids INFO")
    if info.get("aof_enabled") != "1":
        text = "no append-only file, so a restart of the server loses all writes since its last"
        return Check("durability", "warn", f"{text} snapshot; set appendonly yes")
    try:
        reply: Any = client.call(b"CONFIG", b"GET", b"appendfsync")
    except EngineError as error:
        # Managed servers forbid or rename CONFIG.
        text = f"append-only file, but appendfsync cannot be read: {error}"
        return Check("durability", "warn", text)
    fsync = reply[1].decode() if reply else "?"
    level, meaning = _FSYNC.get(fsync, ("warn", "this version of poolq does not know this setting"))
    return Check("durability", level, f"append-only file, appendfsync {fsync}: {meaning}")


def _version(info: dict[str, str]) -> Check:
    if not info:
        return Check("version", "warn", "unknown: the server's ACL forbids INFO")
    name, version, least = _kind(info)
    major = version.partition(".")[0]
    good = major.isdigit() and int(major) >= least
    rest = "" if good else "; poolq needs Redis 7 or Valkey 8 and later"
    return Check("version", "ok" if good else "bad", f"{name} {version}{rest}")


def _kind(info: dict[str, str]) -> tuple[str, str, int]:
    """Return the server's name and version, and the least major version that poolq needs."""
    if "valkey_version" in info:
        return "Valkey", info["valkey_version"], 8
    return "Redis", info.get("redis_version", "0"), 7


def _eviction(info: dict[str, str]) -> Check:
    policy = info.get("maxmemory_policy")
    if policy is None:
        text = "unknown; it must be noeviction, or the server may throw jobs away"
        return Check("eviction", "warn", text)
    if policy == "noeviction":
        text = "noeviction: a full server rejects new jobs and keeps the old ones"
        return Check("eviction", "ok", text)
    if info.get("maxmemory", "0") == "0":
        text = f"{policy}: nothing is evicted without maxmemory, but set noeviction anyway"
        return Check("eviction", "warn", text)
    text = f"the maxmemory-policy is {policy}: a full server throws jobs away; set it to noeviction"
    return Check("eviction", "bad", text)


def _replication(info: dict[str, str]) -> Check:
    role = info.get("role")
    if role is None:
        return Check("replication", "warn", "unknown: the server's ACL forbids INFO")
    if role != "master":
        return Check("replication", "bad", "a replica, which accepts no writes; use its master")
    count = int(info.get("connected_slaves", "0"))
    if not count:
        return Check("replication", "ok", "no replica: the jobs are as safe as this one server")
    text = f"{count} replica(s), asynchronous: a failover may lose the last writes"
    return Check("replication", "ok", text)


def _clock(skew: float) -> Check:
    if abs(skew) < MAX_CLOCK_DIFFERENCE:
        return Check("clock", "ok", f"{abs(skew) * 1000:.0f} ms off this host's clock")
    text = f"{skew:+.1f} s off this host's clock; if a `delay` is a date, its job is due too"
    return Check("clock", "warn", f"{text} {'early' if skew > 0 else 'late'}")
