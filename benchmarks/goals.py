"""Whether what was measured is what must be reached (pure)."""

from math import isnan
from typing import NamedTuple


class Goal(NamedTuple):
    """One number that must be reached.

    `key` names the file in reasons/ that says why it is not, if it is not. `value` and `wanted` are
    in `unit`; `most`: it may be `wanted` at most, else it must be that at least. NaN: it could not
    be measured, as none of those that it is measured against could run.
    """

    key: str
    work: str
    wanted: float
    value: float
    unit: str = ""
    most: bool = False

    @property
    def measured(self) -> bool:
        return not (isnan(self.value) or isnan(self.wanted))

    @property
    def factor(self) -> float:
        """How far it is reached: 1 exactly, 2 twice as good as wanted."""
        if self.most:
            return self.wanted / self.value if self.value > 0 else float("inf")
        return self.value / self.wanted if self.wanted else float("inf")

    @property
    def reached(self) -> bool:
        return self.value <= self.wanted if self.most else self.value >= self.wanted
