"""What the parts of the engine have in common."""

from collections.abc import Sequence

from poolq.engines.base import Engine
from poolq.engines.redis.link import Link
from poolq.engines.redis.wire import Word


class Linked(Engine):
    """An engine's part; all parts share one link. `shown` is the URL without its password."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.link = Link(url, namespace)
        self.shown = self.link.shown


def queue_words(queues: Sequence[str] | None) -> tuple[Word, ...]:
    """Queues as the scripts' part `queues` takes them."""
    return (-1,) if queues is None else (len(queues), *queues)
