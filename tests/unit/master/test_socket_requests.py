"""Random requests to a pool in any state: each is answered or refused, and none breaks the pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from poolq.config import Config
from poolq.control.protocol import AnswerWithFd, BadRequest, to_line
from poolq.master import state_updates
from poolq.master.commands import Commands
from poolq.master.socket_requests import Requests
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps
from tests.support.simulated_pool import SimulatedPool, running

KNOWN = [
    "status", "attach", "live", "ready", "pause", "resume", "scale", "reload", "drain", "stop",
    "kill", "announce",
]  # fmt: skip
NUMBERS = st.integers() | st.integers(-12, 12)
VALUES = st.booleans() | NUMBERS | st.none() | st.text() | st.floats() | st.lists(st.integers())
REQUESTS = st.fixed_dictionaries(
    {"v": st.just(1) | VALUES, "do": st.sampled_from(KNOWN) | VALUES},
    optional={
        "wait": st.booleans() | VALUES,
        "now": st.booleans() | VALUES,
        "procs": NUMBERS | VALUES,
        "by": NUMBERS | VALUES,
        "id": st.text() | VALUES,
        "worker": NUMBERS | VALUES,
        "give_back": st.booleans() | VALUES,
        "more": VALUES,
    },
)
CONFIG: dict[str, Any] = {"procs": 2, "engine": "null://", "folder": Path("/")}


def handler(sim: SimulatedPool, said: list[str] | None = None) -> Requests:
    def log(_level: str, text: str) -> None:
        if said is not None:
            said.append(text)

    made = Commands(Config(**CONFIG), sim.pool, Scoreboard(1), WakeUps(1), log)
    look = {"state": sim.pool.label()}
    return Requests(
        sim.pool, made, lambda: look, lambda _: "", lambda: AnswerWithFd({"ok": True}, 0)
    )


@settings(max_examples=40)
@given(st.lists(REQUESTS, max_size=6), st.booleans())
def test_every_request_is_answered_or_refused_and_the_pool_survives(
    lines: list[Any], up: bool
) -> None:
    sim = running(2) if up else SimulatedPool(2)
    requests = handler(sim)
    for line in lines:
        try:
            found = requests.handle(json.dumps(line).encode(), "alice")
        except BadRequest:
            continue
        answer = found() if callable(found) else found
        if isinstance(answer, AnswerWithFd):
            answer = answer.answer
        if answer is not None:
            reply = to_line(answer)
            assert reply.count(b"\n") == 1
            assert msgspec.json.decode(reply)["v"] == 1
        if sim.exit is None:
            sim.act()
        assert 1 <= sim.pool.target() <= 12
    state_updates.abort(sim.pool, sim.now)
    if sim.exit is None:
        sim.run_for(1)
    assert sim.exit is not None


def test_the_log_says_who_has_sent_a_command() -> None:
    said: list[str] = []
    requests = handler(running(2), said)
    for request in (
        {"do": "pause"}, {"do": "pause"}, {"do": "resume"}, {"do": "scale", "by": 1},
        {"do": "reload"}, {"do": "stop", "now": True},
    ):  # fmt: skip
        requests.handle(json.dumps({"v": 1, **request}).encode(), "alice")
    assert said == [
        "poolq pause by alice: paused; no new jobs are claimed",
        "poolq resume by alice: resumed",
        "poolq scale by alice: 3 workers from now on",
        "poolq reload by alice: trying generation 2",
        "poolq stop --now by alice: running jobs are killed and released; no attempt counts",
    ]


def test_the_log_says_what_commands_do_to_jobs_of_the_pools_engine() -> None:
    said: list[str] = []
    requests = handler(running(2), said)
    ours = {"v": 1, "do": "announce", "url": "null://", "namespace": "poolq"}
    purge = {"command": "queue purge", "text": "7 jobs of mails"}
    for request in (
        {**ours, **purge}, {**ours, **purge, "namespace": "other"},
        {**ours, **purge, "url": "sqlite:///other.db"}, ours,
    ):  # fmt: skip
        assert requests.handle(json.dumps(request).encode(), "alice") == {"ok": True}
    assert said == [
        "poolq queue purge by alice: 7 jobs of mails",
        "poolq announce by alice: ",
    ]
