"""The part of the contract's model that knows unique keys: which job has which.

A settlement or recovery of several claims may free a key and return a job that wants it. The
contract leaves open in which order, so the key is then in `unsure` until its holder is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.model import Job

LIVE = ("queue", "parked", "claimed")


class Keys:
    """`held`: the id of the job that has a key."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.unsure: set[str] = set()
        self._freed: set[str] = set()
        self._returned: list[Job] = []

    def holder(self, key: str, jobs: Mapping[str, Job], now: int) -> Job | None:
        """Return the job that has the key; None if it has expired before its start."""
        assert key not in self.unsure, f"{key} must be looked up first"
        job = jobs.get(self.held.get(key, ""))
        if job is None or (0 < job.expires_at <= now and job.place != "claimed"):
            return None
        return job

    def end(self, job: Job) -> None:
        """The job ends, or starts with a key that it has until its start."""
        if job.right is not None:
            self._freed.add(job.right.key)
            if self.held.get(job.right.key) == job.id:
                del self.held[job.right.key]

    def start(self, job: Job) -> None:
        if job.right is not None and job.right.until == "start":
            self.end(job)

    def came_back(self, job: Job) -> None:
        if job.right is not None:
            self._returned.append(job)

    def end_batch(self, jobs: Mapping[str, Job], now: int) -> None:
        """All claims of a settlement or a recovery have ended."""
        wanted: dict[str, list[Job]] = {}
        for job in self._returned:
            if job.right is not None and jobs.get(job.id) is job and job.place in LIVE:
                wanted.setdefault(job.right.key, []).append(job)
        for key, some in wanted.items():
            if key in self.unsure:
                continue
            if key in self.held and self.holder(key, jobs, now) is not None:
                continue
            if key in self._freed or key in self.held or len(some) > 1:
                self.held.pop(key, None)
                self.unsure.add(key)
            else:
                self.held[key] = some[0].id
        self._returned.clear()
        self._freed.clear()

    def learn(self, key: str, holder: str, jobs: Mapping[str, Job]) -> None:
        """Follow the engine's answer to who has a key of which the model is not sure."""
        self.unsure.discard(key)
        self.held.pop(key, None)
        if holder:
            job = jobs.get(holder)
            assert job is not None, f"{key} belongs to {holder}, which is gone"
            assert job.right is not None, f"{key} belongs to {job}"
            assert job.right.key == key, f"{key} belongs to {job}"
            assert job.place in LIVE, f"{key} belongs to {job}"
            self.held[key] = holder

    def retried(
        self, failed: Iterable[Job], answer: Iterable[str], jobs: Mapping[str, Job], now: int
    ) -> list[Job]:
        """Return which of these failed jobs are retried, if the engine has retried `answer`: one of
        those with the same key, and none if another job has the key."""
        found, chosen = set(answer), []
        for job in failed:
            if job.right is None:
                chosen.append(job)
                continue
            key = job.right.key
            free = self.holder(key, jobs, now) is None
            if job.id in found:
                assert free, f"{job} was retried, but {self.held.get(key)} has its key"
                self.held[key] = job.id
                chosen.append(job)
        for job in failed:
            if job.right is not None and job.id not in found:
                assert self.holder(job.right.key, jobs, now), f"{job} was not retried"
        return chosen
