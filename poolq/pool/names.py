"""How things of a pool are named."""


def worker_name(node: str, seq: int) -> str:
    """Names are never used twice: a node is random, a spawn is counted."""
    return f"{node}:{seq}"
