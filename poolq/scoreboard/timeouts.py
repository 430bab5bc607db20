"""For how long master and keeper wait for a sign of life, or for a stack dump (pure)."""

SILENCE = 10  # looks at keeper or logger, a second apart, without a beat
PULSES = 4  # looks in the silence that a short --node-ttl allows to the keeper
DUMP = 0.2  # seconds a worker has to write its stack before it is stopped


def keeper_silence(node_ttl: float) -> float:
    """Seconds after which the master replaces a silent keeper: soon enough for the next one to beat
    before other pools take the node for dead."""
    return min(SILENCE, node_ttl / 3)
