"""What comes from outside, any bytes of it: read, or refused in the way that is promised. Messages,
durations, URLs, orders and log pipes have theirs beside their other tests."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolq.config import Config, load
from poolq.config.settings import SETTINGS
from poolq.engines.redis.codec import decode_body, decode_job, decode_state, decode_step
from poolq.errors import ConfigError, PoolqError
from poolq.jobs.message import State
from poolq.monitor import node_info
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.worker_row import text
from poolq.template import load_errors, protocol
from poolq.template.protocol import LoadFailed

#: The folder is written anew for each example.
anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from([setting.env for setting in SETTINGS])
SCORES = Scoreboard(1)
VALUES = st.text(st.characters(codec="utf-8"), max_size=20)


def is_read_or_refused(folder: Path) -> None:
    """In one line."""
    try:
        assert isinstance(load(environ={}, cwd=folder, warn=lambda _: None), Config)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # some files are read


@pytest.mark.parametrize("name", [".env", "poolq.toml", "pyproject.toml"])
@anew
@given(data=st.binary(max_size=200))
def test_any_bytes_in_a_file_of_settings(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    is_read_or_refused(tmp_path)


@anew
@given(given=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_values_in_an_env_file(tmp_path: Path, given: dict[str, str]) -> None:
    lines = (f"{name}={value}\n" for name, value in given.items())
    (tmp_path / ".env").write_text("".join(lines), "utf-8")
    is_read_or_refused(tmp_path)


@given(st.binary(max_size=300))
def test_last_words_of_one_who_died_while_he_wrote(data: bytes) -> None:
    buffer = load_errors.LoadErrorBuffer()
    os.pwrite(buffer._fd, data, 0)
    assert isinstance(buffer.take(), LoadFailed | None)
    assert buffer.take() is None
    os.close(buffer._fd)


@given(st.text(max_size=400), st.integers(0, 400))
def test_last_words_that_were_cut(why: str, at: int) -> None:
    buffer = load_errors.LoadErrorBuffer()
    buffer.write(PoolqError(why))
    whole = os.pread(buffer._fd, 1 << 16, 0)
    os.ftruncate(buffer._fd, min(at, len(whole)))
    assert isinstance(buffer.take(), LoadFailed | None)
    os.close(buffer._fd)


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=5))
def test_what_a_users_code_writes_into_a_templates_line(packets: list[bytes]) -> None:
    ours, theirs = protocol.pair()
    with ours, theirs:
        for packet in packets:
            theirs.send(packet)
        theirs.shutdown(socket.SHUT_WR)
        heard: Any = ""
        while heard is not None:
            heard, fds = protocol.receive(ours)
            assert fds == []


@given(st.binary(max_size=100))
def test_what_a_node_tells_of_itself(info: bytes) -> None:
    found = node_info.decode(info)
    assert found is None or len(found.master) == 4


@given(st.binary(max_size=60))
def test_a_state_and_a_body_in_redis(stored: bytes) -> None:
    state, expires = decode_state(stored)
    assert isinstance(state, State)
    assert type(expires) is int
    assert stored.endswith(decode_body(stored))


IDS = st.lists(st.binary(max_size=8), min_size=1, max_size=4)


BODIES = st.binary(max_size=20) | st.binary(max_size=20).map(lambda end: b"1 q\tend k\n" + end)


@given(st.binary(max_size=12), IDS, BODIES, st.binary(max_size=20), st.integers(0, 7))
def test_a_step_that_redis_answers(
    queue: bytes, ids: list[bytes], body: bytes, state: bytes, code: int
) -> None:
    group = [queue, 0, code, ids, [body] * len(ids), [state] * len(ids)]
    step = decode_step([0, ids, [group], b"1764000000000000"], 7)
    assert [claim.index for claim in step.claims] == list(range(len(ids)))
    assert len(step.stale) == len(ids)
    for name in (claim.id + claim.queue for claim in step.claims):
        name.encode()
    shown = decode_job([ids[0], queue, b"ready", b"1", body, state, queue, queue, queue])
    shown.queue.encode()
    assert (shown.unique is None) == (b"\tend k\n" not in body)


@given(st.text(), st.text(), st.text(max_size=400))
def test_any_names_in_a_scoreboard_row(id: str, queue: str, job: str) -> None:
    shown = [one.encode("utf-8", "replace").decode() for one in (id, queue, job)]
    SCORES.worker_row(0).start(0, text(*shown), 1)
    assert len(SCORES.running_job(0)) == 3
