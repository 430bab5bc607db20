"""Numbers of several runs as one (pure)."""

from collections.abc import Sequence
from statistics import median as median  # noqa: PLC0414  # used with the rest of this module


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed; 0.5: half of them."""
    if not values:
        raise ValueError("no values, so no quantile")
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float]) -> float:
    """How far the runs lie apart: (largest - smallest) / median; 0 for a median of 0."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0
