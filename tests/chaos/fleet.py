"""Two nodes under a supervisor, and the producer; the harness's hold on all their processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.chaos import jobs, producer
from tests.chaos.brokers import Broker
from tests.chaos.records import parse_ledger
from tests.support.cli import environment
from tests.support.fake_clock import fake_clock
from tests.support.pool import Pool
from tests.support.processes import Process
from tests.support.project import Project
from tests.support.server import bound_to_us
from tests.support.wait import until

PROCS = 4
CODE = Path(jobs.__file__)
BROKEN = "raise RuntimeError('a broken deploy')\n"
#: Seconds by which the clock of node 1 is wrong, where the broker has one of its own.
AHEAD = 3725.0


class Fleet:
    """`pools` are the two that run now."""

    def __init__(self, project: Project, broker: Broker, seed: int, ttl: float) -> None:
        self.project = project
        self.broker = broker
        self.ledger = project.folder / "chaos-ledger.txt"
        self.ledger.touch()
        self.dispatched = project.folder / "dispatched.txt"
        self._of: list[list[Pool]] = [[], []]
        self._flags = [
            f"--node-ttl={ttl}", "--sleep=1", "--stop-timeout=20", "--app=jobs",
        ]  # fmt: skip
        self._faked = fake_clock(AHEAD) if broker.skewed else {}
        self.ahead = AHEAD if self._faked else 0.0
        self.pools = [self._start(node) for node in range(2)]
        self._producer = self._produce(seed)

    def _start(self, node: int) -> Pool:
        env = {jobs.LEDGER: str(self.ledger), jobs.NODE: str(node)}
        if node == 1:
            env |= self._faked
        flags = [*self._flags, f"--name=node-{node}"]
        pool = self.project.pool(PROCS, *flags, url=self.broker.urls[node], **env)
        self._of[node].append(pool)
        return pool

    def _produce(self, seed: int) -> subprocess.Popen[bytes]:
        settings = {
            "POOLQ_ENGINE": self.broker.urls[2],
            "POOLQ_NAMESPACE": self.project.namespace,
            jobs.LEDGER: str(self.ledger),
            jobs.NODE: "-1",
        }
        command = [sys.executable, producer.__file__, str(seed)]
        command += [str(self.dispatched), str(self.ledger)]
        with (self.project.folder / "producer.log").open("wb") as log:
            return subprocess.Popen(
                bound_to_us(command),
                cwd=self.project.folder,
                env=environment(**settings),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def watch(self) -> None:
        """Start again what has ended, as systemd would."""
        for node, pool in enumerate(self.pools):
            if pool.code is not None:
                self.pools[node] = self._start(node)

    def supervise(self) -> None:
        """Watch them, and the producer."""
        self.watch()
        if self._producer.poll() is not None:
            said = (self.project.folder / "producer.log").read_text()
            raise AssertionError(f"the producer ended:\n{said}")

    @property
    def all(self) -> list[Pool]:
        return [*self._of[0], *self._of[1]]

    def deploy(self, text: str) -> None:
        """New code on the disk, all at once."""
        fresh = self.project.folder / "jobs.new"
        fresh.write_text(text)
        fresh.replace(self.project.folder / "jobs.py")

    def end_producer(self) -> None:
        assert self._producer.stdin is not None
        self._producer.stdin.close()
        self._producer.wait(60)

    def kill_producer(self) -> None:
        """For a run that has failed."""
        self._producer.kill()
        self._producer.wait()
        if self._producer.stdin is not None:
            self._producer.stdin.close()

    def stop(self) -> list[str]:
        """TERM to both; what is wrong with how they end."""
        for pool in self.pools:
            pool.signal(signal.SIGTERM)
        wrong = []
        for node, pool in enumerate(self.pools):
            try:
                until(lambda pool=pool: pool.code is not None, 60, "the pool's end")  # type: ignore[misc]
            except AssertionError as error:
                wrong.append(f"node {node} does not end: {error}")
            else:
                wrong += [f"node {node} ended with {pool.code}"] * (pool.code != 0)
        return wrong

    def left(self) -> list[str]:
        """Processes of any pool there was, and files of the last two."""
        with suppress(AssertionError):  # orphans of the last fault may still be leaving
            until(lambda: not any(pool.processes() for pool in self.all), 30)
        found = [f"process {one}" for pool in self.all for one in pool.processes()]
        files = [file for pool in self.pools for file in pool.runtime.iterdir()]
        return found + [f"file {file}" for file in files]

    def victims(self, node: int, title: str) -> list[Process]:
        """Processes of a node whose titles begin so, also those that a dead master left."""
        found = [one for pool in self._of[node] for one in pool.processes()]
        return sorted(one for one in found if one.title.startswith(f"poolq: {title}"))

    def next_end(self, node: int) -> int | None:
        """Wait shortly for a job of a node to end; the pid of its worker."""
        with self.ledger.open() as file:
            file.seek(0, os.SEEK_END)

            def look() -> int | None:
                for one in parse_ledger(file.read()):
                    if one.what == "end" and one.node == node:
                        return one.pid
                return None

            with suppress(AssertionError):
                return until(look, 1.0)
        return None

    def stale(self) -> int:
        """Settlements that were refused, as the logs tell."""
        return sum(pool.log.count("stale settlement of") for pool in self.all)

    def said(self, what: str) -> frozenset[str]:
        """The ids of jobs of which a log says so; `what`: an expression with a group for the id."""
        return frozenset(id for pool in self.all for id in re.findall(what, pool.log))
