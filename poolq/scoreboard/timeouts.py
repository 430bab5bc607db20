"""How long master and keeper wait for a sign of life, or for a stack dump (pure)."""

MAX_MISSED_BEATS = 10  # checks of keeper or logger, a second apart, without a beat
BEATS_PER_TIMEOUT = 4  # beats of the keeper in the silence that a short --node-ttl allows
DUMP_TIMEOUT = 0.2  # seconds a worker has to write its stack before it is stopped
SUSPEND_THRESHOLD = 1.0  # a process that wakes up that many seconds late was suspended


def keeper_silence(node_ttl: float) -> float:
    """Seconds after which the master replaces a silent keeper: early enough for the next one to
    beat before other pools declare the node dead."""
    return min(MAX_MISSED_BEATS, node_ttl / 3)
