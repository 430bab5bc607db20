"""What the SQL engines' versioned tables can be asked; `Engine.schema` there."""

from abc import ABC, abstractmethod


class Schema(ABC):
    """The tables of one namespace."""

    #: The version that this code needs.
    latest: int

    @abstractmethod
    def version(self) -> int:
        """0 when there are no tables."""

    @abstractmethod
    def migrate(self) -> int:
        """Bring the tables up to this code's version; returns how many steps ran."""

    @abstractmethod
    def sql(self) -> str:
        """The statements that `migrate` would run on an empty database."""
