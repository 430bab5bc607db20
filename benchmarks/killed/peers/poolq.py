"""poolq's unique job, for the pools that are killed."""

import poolq
from benchmarks.killed.jobs import keyed


class Keyed(poolq.Job):
    unique = poolq.Unique("key")

    def run(self) -> None:
        keyed(self.payload["key"], self.payload["token"])


def offer(key: int, token: str) -> bool:
    return Keyed.dispatch({"key": key, "token": token}).new
