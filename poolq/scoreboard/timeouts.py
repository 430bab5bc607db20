"""How long master and keeper wait for a sign of life, or for a stack dump (pure)."""

MAX_MISSED_BEATS = 10  # checks, one a second, without a heartbeat of keeper or logger
BEATS_PER_TIMEOUT = 4  # checks for heartbeats within `keeper_silence`, if --node-ttl is short
DUMP_TIMEOUT = 0.2  # seconds a worker has to write its stack before it is stopped
SUSPEND_THRESHOLD = 1.0  # seconds; a process that wakes up later than due by this was suspended


def keeper_silence(node_ttl: float) -> float:
    """Return the seconds after which the master replaces a silent keeper. The next keeper can then
    send a heartbeat before other pools consider the node dead."""
    return min(MAX_MISSED_BEATS, node_ttl / 3)
