"""How long master and keeper wait for a sign of life, or for a stack dump (pure)."""

MAX_MISSED_BEATS = 10  # checks, one a second, without a heartbeat of keeper or logger
BEATS_PER_TIMEOUT = 4  # checks for heartbeats within `keeper_silence`, if --node-ttl is short
DUMP_TIMEOUT = 0.2  # seconds a worker has to write its stack before it is stopped
BEATS_PER_TTL = 6  # heartbeats that a node sends within its --node-ttl
SUSPEND_THRESHOLD = 1.0  # seconds; a process that wakes up later than due by this was suspended


def start_until(beat: float, node_ttl: float) -> int:
    """Return until when workers may start jobs (ns) if the last heartbeat was sent at `beat`. Short
    jobs that start by then have ended before other pools may consider the node dead."""
    return round((beat + node_ttl * 2 / 3) * 1e9)


def keeper_pause(node_ttl: float) -> float:
    """Return the longest pause in seconds between the death of a keeper and the next one."""
    return node_ttl / BEATS_PER_TTL


def keeper_silence(node_ttl: float) -> float:
    """Return the seconds after which the master replaces a silent keeper. The next keeper can then
    send a heartbeat before other pools consider the node dead."""
    return min(MAX_MISSED_BEATS, node_ttl / 3)
