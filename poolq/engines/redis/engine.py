"""The engine on Redis and Valkey: see poolq/engines/base.py for what holds.

Each act is one script (lua/*.lua), so it happens wholly or not at all and costs one round trip.
The keys, and why they are as they are, stand in lua/lib/base.lua.
"""

from poolq.engines.redis.doctor import Doctor
from poolq.engines.redis.jobs import Jobs
from poolq.engines.redis.keeping import Keeping
from poolq.engines.redis.people import People


class RedisEngine(Jobs, Keeping, People, Doctor):
    """`url` is redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://.

    Raises ConfigError for a URL or namespace that makes no sense; connects when first used.
    """

    def close(self) -> None:
        self.link.close()
